"""How far the aligner's word boundaries lie from the true ones: digits of one speaker, joined without gap.

The joins are known to the sample, and nothing in the sound marks them; whatever is quiet belongs to one of
the words, so the aligner keeps pauses. `make` writes recordings to train
an aligner on (its recipe: recipes/fsdd-joined.toml), `measure` prints the median and other percentiles of
|boundary - join| over the end of each word but the last and the start of each but the first. The rule for
boundaries was chosen on george, who like theo is not among the training speakers; theo is the test.

    python3 bench/align/joined_digits.py make RECORDINGS data/fsdd-joined jackson lucas nicolas yweweler
    labyrinth train recipes/fsdd-joined.toml
    python3 bench/align/joined_digits.py measure RECORDINGS runs/fsdd-joined/model.safetensors theo

RECORDINGS is the folder of the Free Spoken Digit Dataset's WAV files. Standard library only.
"""

import argparse
import json
import pathlib
import random
import subprocess
import tempfile
import wave

NAMES = "zero one two three four five six seven eight nine".split()


def join(recordings, speaker, folder, digits, count, seed, takes=None, prefix=""):
    """Writes `count` recordings of `digits` digits each; returns their manifest, and the joins in seconds
    by id."""
    draw = random.Random(f"{seed} {speaker}")
    files = sorted(recordings.glob(f"*_{speaker}_*.wav"))
    if takes is not None:
        files = [file for file in files if int(file.stem.split("_")[2]) in takes]
    assert files, f"no recordings of {speaker} in {recordings}"
    joins, lines = {}, []
    for number in range(count):
        chosen = [draw.choice(files) for _ in range(digits)]
        name = f"{prefix}{speaker}-{number:03}"
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
    manifest = folder / f"{prefix}{speaker}.jsonl"
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


def make(arguments):
    """Manifests of joined digits to train an aligner on. The joins are not told to anybody."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    takes = {"train": range(10, 50), "dev": range(10)}
    for name, count in [("train", arguments.count), ("dev", max(1, arguments.count // 10))]:
        lines = ""
        for number, speaker in enumerate(arguments.speakers):
            manifest, _ = join(arguments.recordings, speaker, arguments.out, arguments.digits, count,
                               seed=f"{name} {number}", takes=takes[name], prefix=f"{name}-")
            lines += manifest.read_text()
            manifest.unlink()
        (arguments.out / f"{name}.jsonl").write_text(lines)


def measure(arguments):
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.keep or pathlib.Path(folder)
        (folder / "joined").mkdir(parents=True, exist_ok=True)
        for speaker in arguments.speakers:
            manifest, joins = join(arguments.recordings, speaker, folder / "joined",
                                   arguments.digits, arguments.count, seed=1)
            subprocess.run([arguments.program, "align", arguments.model, manifest, "--units", "words",
                            "--boundaries", arguments.boundaries, "--keep-pauses", "-o", folder / "aligned"],
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for name, run in [("make", make), ("measure", measure)]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("recordings", type=pathlib.Path)
        command.add_argument("out" if name == "make" else "model", type=pathlib.Path)
        command.add_argument("speakers", nargs="+")
        command.add_argument("--digits", type=int, default=5 if name == "make" else 8)
        command.add_argument("--count", type=int, default=100 if name == "make" else 40)
        command.add_argument("--program", default="labyrinth")
        command.add_argument("--boundaries", default="change")
        command.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
