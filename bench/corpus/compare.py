"""The loader beside PyTorch's DataLoader and lhotse, in turn, and its memory, as a Markdown page.

All read the same FLAC files with two workers and make shuffled batches of 16 utterances with 80
filterbanks of 25/10 ms. The workers of the peers stay between epochs (persistent_workers), so that
their start is no part of the time; ours start anew in each. Of each the epochs alternate. Reading and
decoding alone is timed beside, once with our decoder and once with libsndfile, which the peers use.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import warnings

import lhotse
import soundfile
import torch
import torchaudio
from lhotse import CutSet, Fbank, FbankConfig, MonoCut, Recording, SupervisionSegment
from lhotse.dataset import DynamicBucketingSampler, K2SpeechRecognitionDataset, OnTheFlyFeatures

WORKERS, BATCH, RATE = 2, 16, 16000
# What is wanted: their time is at least so many times ours.
TARGETS = {"PyTorch DataLoader": 4, "lhotse": 4}


def read(path):
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return torch.from_numpy(samples)


class Recordings(torch.utils.data.Dataset):
    """What a PyTorch script of one's own does."""

    def __init__(self, utterances, features):
        self.utterances, self.features = utterances, features

    def __len__(self):
        return len(self.utterances)

    def __getitem__(self, index):
        utterance = self.utterances[index]
        samples = read(utterance["path"])
        if not self.features:
            return samples[:1], utterance["text"]
        fbank = torchaudio.compliance.kaldi.fbank(
            samples[None] * 32768, sample_frequency=RATE, num_mel_bins=80, dither=0.0)
        return fbank, utterance["text"]


def collate(items):
    lengths = torch.tensor([len(features) for features, _ in items])
    features = torch.nn.utils.rnn.pad_sequence([f for f, _ in items], batch_first=True)
    return features, lengths, [text for _, text in items]


def one_thread(_):
    torch.set_num_threads(1)


def pytorch(utterances, features=True):
    loader = torch.utils.data.DataLoader(
        Recordings(utterances, features), batch_size=BATCH, shuffle=True, num_workers=WORKERS,
        collate_fn=collate, persistent_workers=True, prefetch_factor=4, worker_init_fn=one_thread)

    def epoch():
        return sum(len(lengths) for _, lengths, _ in loader)

    return epoch


def lhotse_peer(utterances):
    cuts = []
    for number, utterance in enumerate(utterances):
        recording = Recording.from_file(utterance["path"], recording_id=f"r{number}")
        supervision = SupervisionSegment(
            f"s{number}", f"r{number}", 0, recording.duration, text=utterance["text"])
        cuts.append(MonoCut(f"c{number}", 0, recording.duration, 0, recording=recording,
                            supervisions=[supervision]))
    cuts = CutSet.from_cuts(cuts)
    seconds = sum(cut.duration for cut in cuts)
    # As many seconds in a batch as 16 utterances have on average.
    sampler = DynamicBucketingSampler(
        cuts, max_duration=BATCH * seconds / len(cuts), shuffle=True, num_buckets=10)
    extractor = Fbank(FbankConfig(num_filters=80, sampling_rate=RATE))
    dataset = K2SpeechRecognitionDataset(input_strategy=OnTheFlyFeatures(extractor))
    loader = torch.utils.data.DataLoader(
        dataset, sampler=sampler, batch_size=None, num_workers=WORKERS, persistent_workers=True,
        prefetch_factor=4, worker_init_fn=one_thread)
    state = {"epoch": 0}

    def epoch():
        sampler.set_epoch(state["epoch"])
        state["epoch"] += 1
        return sum(len(batch["supervisions"]["text"]) for batch in loader)

    return epoch


class Ours:
    def __init__(self, binary, manifest, *options):
        command = [binary, "throughput", manifest, "--workers", str(WORKERS), "--batch-size",
                   str(BATCH), *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.count, self.seconds = map(float, self.process.stdout.readline().split())

    def __call__(self):
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("the loader stopped")
        return float(answer)


def timed(epoch, count):
    def run():
        start = time.perf_counter()
        came = epoch()
        milliseconds = (time.perf_counter() - start) * 1e3
        assert came == count, f"{came} of {count}"
        return milliseconds

    return run


def cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = " ".join(f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
                     if f in fields.get("flags", "").split())
    return (f"{fields.get('model name')} (family {fields.get('cpu family')}, model "
            f"{fields.get('model')}; {flags})")


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main():
    parser = argparse.ArgumentParser()
    for name in ("--binary", "--manifest", "--files", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)

    manifest = pathlib.Path(arguments.manifest)
    utterances = []
    for line in manifest.read_text().splitlines():
        utterance = json.loads(line)
        path = (manifest.parent / utterance["audio_filepath"]).resolve()
        utterances.append({"path": str(path), "text": utterance["text"]})
    ours = Ours(arguments.binary, str(manifest))
    decode = Ours(arguments.binary, str(manifest), "--decode")
    count = int(ours.count)
    runs = {
        "labyrinth": ours,
        "PyTorch DataLoader": timed(pytorch(utterances), count),
        "lhotse": timed(lhotse_peer(utterances), count),
        "labyrinth, decoding alone": decode,
        "PyTorch DataLoader, decoding alone": timed(pytorch(utterances, features=False), count),
    }
    times = {name: [] for name in runs}
    for number in range(arguments.rounds + 1):
        for name, run in runs.items():
            milliseconds = run()
            if number > 0:  # the first round reads files into the system's cache, and starts workers
                times[name].append(milliseconds)
        print(f"round {number} of {arguments.rounds}", file=sys.stderr)

    hours = ours.seconds / 3600
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True,
                           check=True).stdout.strip()
    lines = [
        f"{datetime.date.today()}; CPU {cpu()}, 2 cores; {rustc}; PyTorch {torch.__version__}, "
        f"torchaudio {torchaudio.__version__}, lhotse {lhotse.__version__}, soundfile "
        f"{soundfile.__version__}, Python {platform.python_version()}; commit {commit}; "
        f"`bench/corpus/run.sh`.",
        "",
        f"{count} recordings, {hours:.2f} hours, {WORKERS} workers, {arguments.rounds} rounds: seconds "
        "for an epoch, median (quartiles), shortest, and how many times as long as labyrinth in "
        "the same round.",
        "",
        "| | an epoch, s | shortest | times labyrinth | wanted | hours of audio a second |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in times.items():
        ratios = [value / own for value, own in zip(values, times["labyrinth"])]
        wanted = f"≥ {TARGETS[name]}" if name in TARGETS else ""
        seconds = [value / 1e3 for value in values]
        lines.append(
            f"| {name} | {quartiles(seconds)} | {min(seconds):.2f} | {quartiles(ratios)} | {wanted} | "
            f"{hours / statistics.median(seconds):.2f} |")
    shares = [d / o for d, o in zip(times["labyrinth, decoding alone"], times["labyrinth"])]
    lines += ["", f"Reading and decoding FLAC is {100 * statistics.median(shares):.0f} % of labyrinth's "
              "epoch.", ""]
    if arguments.sizes:
        lines += [
            "Manifests of any size (lines made up, recordings real): megabytes are resident memory of "
            "the whole process at its most, where an idle one has "
            "{:.1f}; restoring is from a random position to the batch in hand, audio and features "
            "included.", "",
            "| utterances | hours | manifest | index made in | opened in | restored in, median (most) | "
            "10 epochs of places and durations | memory |",
            "|---|---|---|---|---|---|---|---|",
        ]
        idle = []
        for size in arguments.sizes:
            folder = pathlib.Path(arguments.files) / "memory"
            output = subprocess.run(
                [arguments.binary, "memory", str(manifest), str(size), "--folder", str(folder)],
                capture_output=True, text=True, check=True).stdout
            for file in folder.iterdir():
                file.unlink()
            found = json.loads(output)
            idle.append(found["idle-mb"])
            lines.append(
                f"| {size:,} | {found['hours']:,.0f} | {found['manifest-bytes'] / 1e6:,.0f} MB | "
                f"{found['index-s']:.2f} s | {found['open-s'] * 1e3:.2f} ms | "
                f"{found['restore-median-s']:.3f} s ({found['restore-most-s']:.3f}) | "
                f"{found['traversal-s']:.1f} s | {found['most-resident-mb']:.0f} MB |")
        lines = [line.format(statistics.median(idle)) if "{:.1f}" in line else line for line in lines]
    pathlib.Path(arguments.output).write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
