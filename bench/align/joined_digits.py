"""How far the aligner's word boundaries lie from the true ones: digits of one speaker, joined without gap.

The joins are known to the sample, and nothing in the sound marks them. Prints the median and other
percentiles of |boundary - join| over the end of each word but the last and the start of each but the first.

    python3 bench/align/joined_digits.py RECORDINGS MODEL SPEAKER... [--program labyrinth]
        [--boundaries change|middle] [--digits 8] [--count 40] [--keep FOLDER]

RECORDINGS is the folder of the Free Spoken Digit Dataset's WAV files, MODEL one trained on its words.
Standard library only.
"""

import argparse
import json
import pathlib
import random
import subprocess
import tempfile
import wave

NAMES = "zero one two three four five six seven eight nine".split()


def join(recordings, speaker, folder, digits, count, seed, takes=None):
    """Writes `count` recordings of `digits` digits each; returns the joins in seconds by id."""
    draw = random.Random(f"{seed} {speaker}")
    files = sorted(recordings.glob(f"*_{speaker}_*.wav"))
    if takes is not None:
        files = [file for file in files if int(file.stem.split("_")[2]) in takes]
    assert files, f"no recordings of {speaker} in {recordings}"
    joins, lines = {}, []
    for number in range(count):
        chosen = [draw.choice(files) for _ in range(digits)]
        name = f"{speaker}-{number:03}"
        samples, ends, rate = b"", [], None
        for file in chosen:
            with wave.open(str(file)) as sound:
                assert sound.getsampwidth() == 2 and sound.getnchannels() == 1
                rate = sound.getframerate()
                samples += sound.readframes(sound.getnframes())
            ends.append(len(samples) / 2 / rate)
        with wave.open(str(folder / f"{name}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(rate)
            sound.writeframes(samples)
        text = " ".join(NAMES[int(file.name[0])] for file in chosen)
        lines.append({"id": name, "audio_filepath": f"{name}.wav", "duration": ends[-1],
                      "text": text, "speaker": speaker})
        joins[name] = ends[:-1]
    manifest = folder / f"{speaker}.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest, joins


def errors(aligned, joins, digits):
    """|boundary - join| in seconds: ends and starts of the words on both sides of each join."""
    found, signed = [], []
    for line in map(json.loads, aligned.read_text().splitlines()):
        track = (aligned.parent / line["labels"]).read_text().splitlines()
        times = [tuple(map(float, row.split("\t")[:2])) for row in track]
        assert len(times) == digits, line["id"]
        for join, (_, end), (start, _) in zip(joins[line["id"]], times, times[1:]):
            found += [abs(end - join), abs(start - join)]
            signed += [end - join, start - join]
    return found, signed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recordings", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("speakers", nargs="+")
    parser.add_argument("--program", default="labyrinth")
    parser.add_argument("--boundaries", default="change")
    parser.add_argument("--digits", type=int, default=8)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.keep or pathlib.Path(folder)
        (folder / "joined").mkdir(parents=True, exist_ok=True)
        for speaker in arguments.speakers:
            manifest, joins = join(arguments.recordings, speaker, folder / "joined",
                                   arguments.digits, arguments.count, seed=1)
            subprocess.run([arguments.program, "align", arguments.model, manifest, "--units", "words",
                            "--boundaries", arguments.boundaries, "-o", folder / "aligned"],
                           check=True, stdout=subprocess.DEVNULL)
            found, signed = errors(folder / "aligned" / manifest.name, joins, arguments.digits)
            found.sort()
            signed.sort()
            at = lambda values, share: 1000 * values[int(share * (len(values) - 1))]
            within = sum(error <= 0.05 for error in found) / len(found)
            print(f"{speaker}: {len(found)} boundaries, median {at(found, 0.5):.0f} ms, "
                  f"quartiles {at(found, 0.25):.0f} and {at(found, 0.75):.0f}, "
                  f"90 % within {at(found, 0.9):.0f} ms, {100 * within:.1f} % within 50 ms; "
                  f"median shift {at(signed, 0.5):+.0f} ms")


if __name__ == "__main__":
    main()
