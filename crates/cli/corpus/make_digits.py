#!/usr/bin/env python3
"""Makes digits.tar: connected digits spoken by speech synthesisers, for `labyrinth quickstart`.

Every utterance is synthetic speech; nobody was recorded for it. README.md beside this file says
which packages to install, under which licences the voices come, and how to run this script.

Steps, all from one seed:
  1. split  voices into train, dev and test by a rule (`digits_voices`);
  2. draw   digit strings, balanced over the ten digits, none in two splits (`digits_strings`);
  3. speak  each string (rate and pitch vary for training voices only), trim, resample to 16 kHz
            (`digits_engines`);
  4. check  the clean signal with two recognisers that know nothing of each other (`digits_checker`);
  5. room   a share of the utterances gets reverberation, colour, noise (`digits_rooms`);
  6. encode Ogg Opus, one page of sound per file, no comments (`digits_opus`);
  7. pack   one ustar archive with sorted names and zeroed times and owners.
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from digits_base import SEED, keyed
from digits_checker import Checker
from digits_engines import Engines
from digits_opus import encode
from digits_rooms import place
from digits_strings import Strings, grouping
from digits_voices import DEV_COUNT, TEST_COUNT, all_voices, split_voices


def speak_all(split, voices, strings, engines, checker, cache, report):
    """Speaks and checks a split; returns its utterances with clean samples."""
    made = []
    rounds = {"train": (0, 1), "dev": (0,), "test": (0,)}[split]
    for voice, number in [(voice, number) for number in rounds for voice in voices]:
        wanted = {"train": voice.counts, "dev": (DEV_COUNT,), "test": (TEST_COUNT,)}[split][number]
        got = []
        while len(got) < wanted:
            turn = sum(report[voice.name])
            words = strings.draw(split)
            key = f"{voice.name}/{turn}"
            random = keyed("speak", key)
            breaks = grouping(words, random)
            where = cache / f"{voice.name}-{turn:03d}.npz"
            if where.exists() and list(np.load(where)["words"]) == words:
                stored = np.load(where)
                engine, samples, ok = str(stored["engine"]), stored["samples"], bool(stored["ok"])
            else:
                engine, samples = engines.speak(voice, words, breaks,
                                                random if split == "train" else None, turn)
                ok, fault, heard = checker.passes(samples, words)
                if not ok:
                    print(f"  {voice.name} {turn} {fault}: said {' '.join(words)}; heard {heard}")
                np.savez(where, samples=samples.astype(np.float32), words=words, engine=engine, ok=ok)
            report[voice.name][0 if ok else 1] += 1
            if ok:
                got.append((voice, engine, words, np.float64(np.float32(samples))))
            elif report[voice.name][1] > 8 and report[voice.name][1] > report[voice.name][0]:
                sys.exit(f"{voice.name} is not understood: {report[voice.name]}; leave it out")
        print(f"{split} {voice.name}: {report[voice.name]}", flush=True)
        made += got
    return made


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(data))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--kokoro-voices", type=Path, required=True,
                        help="the folder `voices` of the unpacked npm package kokoro-js")
    parser.add_argument("--cache", type=Path, required=True, help="folder for clean utterances")
    parser.add_argument("--out", type=Path, default=here / "digits.tar")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)

    import onnxruntime
    onnxruntime.set_seed(SEED)  # before any session opens
    split = split_voices(all_voices())
    strings, engines, checker = Strings(), Engines(arguments.kokoro_voices), Checker()
    report = defaultdict(lambda: [0, 0])
    clean = {name: speak_all(name, split[name], strings, engines, checker, arguments.cache, report)
             for name in ("test", "dev", "train")}

    babblers = [samples for _, _, _, samples in clean["train"]]
    files = {}
    for name in ("train", "dev", "test"):
        utterances = clean[name]
        keyed("order", name).shuffle(utterances)
        lines, seconds, treated, digits = [], 0.0, Counter(), Counter()
        for number, (voice, engine, words, samples) in enumerate(utterances):
            identity = f"{name}-{number:04d}"
            placed, done = place(samples, name, identity, babblers)
            data, duration = encode(placed, stream_number(identity))
            path = f"audio/{identity}.opus"
            files[path] = data
            lines.append(json.dumps({
                "id": identity, "audio_filepath": path, "duration": round(duration, 6),
                "text": " ".join(words), "speaker": voice.name, "engine": engine,
            }, separators=(",", ":")))
            seconds += duration
            treated.update(done or ["clean"])
            digits.update(words)
        files[f"{name}.jsonl"] = ("\n".join(lines) + "\n").encode()
        print(f"{name}: {len(lines)} utterances, {seconds / 60:.2f} minutes, "
              f"{len({l for l in map(str, [v.name for v, *_ in utterances])})} voices; "
              f"{dict(treated)}; {dict(sorted(digits.items()))}")
    for text in ("README.md", "LICENCES.txt"):
        files[text] = (here / text).read_bytes()

    with tarfile.open(arguments.out, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            add(archive, name, files[name])
    size = arguments.out.stat().st_size
    print({name: counts for name, counts in report.items() if counts[1]})
    print(f"{arguments.out.name}: {size} bytes, sound {sum(map(len, files.values()))}")
    if size >= 4_000_000:
        sys.exit("digits.tar must stay under 4,000,000 bytes: lower the counts or BITRATE")


def stream_number(identity):
    """An Ogg stream number that depends on the name only."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "little") & 0x7FFFFFFF


if __name__ == "__main__":
    main()
