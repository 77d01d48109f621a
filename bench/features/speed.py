"""Features beside their peers in Python: agreement first, then times in turn, as a Markdown page.

labyrinth's bench binaries stay warm as child processes; the peers run here, one thread each, called as
their users call them. All have the same recordings in memory. In a round each gets one short turn
after the other, so that what the machine does meanwhile meets all of them. A machine that others use
lengthens turns and never shortens them: beside the medians stand the shortest turns.
"""

import argparse
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import warnings

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import kaldi_native_fbank
import lhotse
import librosa
import numpy
import soundfile
import torch
import torchaudio
from lhotse.features.kaldi.extractors import Fbank, FbankConfig, Mfcc, MfccConfig

RATE = 16000
SCALE = 32768  # Kaldi's unit of samples, as integers
TURN_MS = 25
# Case → (title, frame length and shift in ms, kind, filters).
CASES = {
    "fbank": ("Filterbank, 80 filters, 25/10 ms", 25, 10, "fbank", 80),
    "fbank-250": ("Filterbank, 80 filters, 250/50 ms", 250, 50, "fbank", 80),
    "mfcc": ("MFCC, 13 of 23 filters, 25/10 ms", 25, 10, "mfcc", 23),
}
# Where torchaudio and kaldi-native-fbank agree with each other to the first, ours may differ from
# either by the second. (Elsewhere a filter's energy is so small beside the frame's largest that single
# precision decides: there the two differ from each other and from double precision as much.)
PEERS_AGREE, OURS_AGREE = 1e-4, 1e-3
# What is wanted of the first case: their time is at least so many times ours.
TARGETS = {"torchaudio": 9, "kaldi-native-fbank": 13, "librosa": 3.7}


def torchaudio_peer(recordings, length, shift, kind, filters):
    waves = [torch.from_numpy(samples)[None] * SCALE for samples in recordings]
    function = getattr(torchaudio.compliance.kaldi, kind)

    def run():
        return [
            function(wave, sample_frequency=RATE, frame_length=length, frame_shift=shift,
                     num_mel_bins=filters, dither=0.0)
            for wave in waves
        ]

    return run


def kaldi_native_peer(recordings, length, shift, kind, filters):
    options = getattr(kaldi_native_fbank, f"{kind.capitalize()}Options")()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.frame_length_ms = length
    options.frame_opts.frame_shift_ms = shift
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = filters
    online = getattr(kaldi_native_fbank, f"Online{kind.capitalize()}")
    waves = [(samples * SCALE).tolist() for samples in recordings]

    def run():
        features = []
        for wave in waves:
            computer = online(options)
            computer.accept_waveform(RATE, wave)
            computer.input_finished()
            frames = [computer.get_frame(i) for i in range(computer.num_frames_ready)]
            features.append(numpy.stack(frames))
        return features

    return run


def librosa_peer(recordings, length, shift, kind, filters):
    window, hop = RATE * length // 1000, RATE * shift // 1000
    options = dict(sr=RATE, n_fft=1 << (window - 1).bit_length(), win_length=window,
                   hop_length=hop, n_mels=filters)

    def run():
        if kind == "mfcc":
            return [librosa.feature.mfcc(y=y, n_mfcc=13, **options).T for y in recordings]
        return [
            numpy.log(numpy.maximum(librosa.feature.melspectrogram(y=y, **options), 1e-10)).T
            for y in recordings
        ]

    return run


def lhotse_peer(recordings, length, shift, kind, filters):
    # lhotse's default is frames beyond the edges and filters to 7600 Hz; here it computes the same
    # frames and filters as the others.
    extractor, config = (Mfcc, MfccConfig) if kind == "mfcc" else (Fbank, FbankConfig)
    with warnings.catch_warnings(action="ignore"):
        extractor = extractor(config(frame_length=length / 1000, frame_shift=shift / 1000,
                                     num_filters=filters, snip_edges=True, high_freq=0.0))

    def run():
        return [extractor.extract(samples, RATE) for samples in recordings]

    return run


PEERS = {
    "torchaudio": torchaudio_peer,
    "kaldi-native-fbank": kaldi_native_peer,
    "librosa": librosa_peer,
    "lhotse": lhotse_peer,
}


class Ours:
    """A warm child process of labyrinth's bench binary."""

    def __init__(self, title, binary, recordings, options, arguments=()):
        self.title, self.times = title, []
        sets = [word for option in options for word in ("--set", option)]
        self.process = subprocess.Popen(
            [binary, recordings, *sets, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        first = self.process.stdout.readline().split()
        if not first:
            self.process.wait()
            raise RuntimeError(f"{title} cannot run")
        self.seconds, self.instructions = float(first[0]), first[1]
        self.count = 1
        self.count = max(1, round(TURN_MS / min(self.ask("go 1") for _ in range(3))))

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def turn(self):
        self.times.append(self.ask(f"go {self.count}"))

    def features(self, file):
        dim = int(self.ask(f"write {file}"))
        return numpy.fromfile(file, dtype="<f4").reshape(-1, dim)

    def close(self):
        print("quit", file=self.process.stdin, flush=True)
        self.process.wait()


class Peer:
    """A peer in this process."""

    def __init__(self, title, run):
        self.title, self.run, self.times = title, run, []

    def turn(self):
        begin = time.perf_counter()
        self.run()
        self.times.append((time.perf_counter() - begin) * 1e3)

    def close(self):
        pass


def quantile(values, share):
    values = sorted(values)
    return values[round((len(values) - 1) * share)]


def agreement(case, ours, peers):
    """How far the peers' values are from ours, as a phrase; ends the run where they should agree."""
    theirs = {
        peer.title: numpy.concatenate([numpy.asarray(matrix) for matrix in peer.run()])
        for peer in peers
    }
    exact = [theirs["torchaudio"], theirs["kaldi-native-fbank"]]
    for values in exact:
        if values.shape != ours.shape:
            sys.exit(f"{case}: a peer has shape {values.shape}, ours is {ours.shape}")
    certain = numpy.abs(exact[0] - exact[1]) <= PEERS_AGREE
    worst = max(numpy.abs(values - ours)[certain].max() for values in exact)
    if not worst <= OURS_AGREE:
        sys.exit(f"{case}: ours differs by {worst:.1e} where the peers agree to {PEERS_AGREE}")
    phrases = [
        f"at most {worst:.1e} where torchaudio and kaldi-native-fbank agree to {PEERS_AGREE} "
        f"({certain.mean() * 100:.2f} % of all values)"
    ]
    for title, values in theirs.items():
        if values.shape != ours.shape:
            phrases.append(f"{title}: other frames, not compared")
            continue
        if title == "lhotse" and case != "mfcc":
            values = values + 2 * numpy.log(SCALE)  # its samples are not multiplied
        difference = numpy.abs(values - ours)
        if title in ("librosa", "lhotse") and difference.mean() > 1e-2:
            phrases.append(f"{title} is defined otherwise")
        else:
            phrases.append(f"{title}, all: {difference.max():.1e}, mean {difference.mean():.1e}")
    return "; ".join(phrases)


def measure(arguments, case, recordings, listing):
    title, length, shift, kind, filters = CASES[case]
    options = [f'kind="{kind}"', f"frame-length={length}", f"frame-shift={shift}",
               f"num-mel-bins={filters}"]
    binary, file = arguments.binary, arguments.files / "features.f32"
    try:
        ours = Ours("**labyrinth**", binary, listing, options)
    except RuntimeError as error:
        print(f"{case} is left out: {error}", file=sys.stderr)
        return []
    contenders = [ours]
    for instructions in ("portable", "avx2"):
        try:
            contenders.append(Ours(f"labyrinth, {instructions}", binary, listing, options,
                                   ("--instructions", instructions)))
        except RuntimeError:
            print(f"{case}: no figure for {instructions}", file=sys.stderr)
    contenders.append(Ours("labyrinth, two threads", binary, listing, options, ("--threads", "2")))
    peers = [Peer(name, make(recordings, length, shift, kind, filters))
             for name, make in PEERS.items()]
    values = ours.features(file)
    found = agreement(case, values, peers)
    contenders += peers
    for peer in peers:
        peer.turn()
        peer.times.clear()
    for number in range(arguments.rounds):
        # The order changes, so that nobody always runs behind the same neighbour.
        split = number % len(contenders)
        for contender in contenders[split:] + contenders[:split]:
            contender.turn()
    for contender in contenders:
        contender.close()
    return table(case, title, ours, contenders, found)


def table(case, title, ours, contenders, found):
    middle, best = statistics.median(ours.times), min(ours.times)
    lines = [
        f"### {title}", "",
        f"Instruction set of the first line: {ours.instructions}. "
        f"Differences from ours: {found}.", "",
        "| who | median ms (10–90 %) | shortest | s per hour of audio | this / labyrinth "
        "(10–90 % of rounds) | shortest / shortest | wanted |",
        "|---|---|---|---|---|---|---|",
    ]
    for contender in contenders:
        times = contender.times
        pairs = [theirs / mine for theirs, mine in zip(times, ours.times)]
        target = TARGETS.get(contender.title) if case == "fbank" else None
        ratio = statistics.median(times) / middle
        lines.append(
            f"| {contender.title} | {statistics.median(times):.2f} "
            f"({quantile(times, 0.1):.2f}–{quantile(times, 0.9):.2f}) | {min(times):.2f} "
            f"| {statistics.median(times) * 3.6 / ours.seconds:.3f} | **{ratio:.2f}** "
            f"({quantile(pairs, 0.1):.2f}–{quantile(pairs, 0.9):.2f}) "
            f"| {min(times) / best:.2f} | {f'{target}' if target else ''} |"
        )
    return ["", *lines]


def machine(arguments, seconds, count):
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line]
    rustc = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    return (
        f"CPU {names[0] if names else platform.processor()}, {os.cpu_count()} cores; {rustc}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchaudio {torchaudio.__version__}, "
        f"kaldi-native-fbank {kaldi_native_fbank.__version__}, librosa {librosa.__version__}, "
        f"lhotse {lhotse.__version__}, numpy {numpy.__version__}; commit {commit}; "
        f"{datetime.date.today()}; `bench/features/run.sh`. {count} recordings, {seconds:.0f} s, "
        f"{arguments.rounds} rounds, one thread each unless said otherwise; a turn of a peer is all "
        f"recordings once. torchaudio and kaldi-native-fbank get samples already multiplied by "
        f"{SCALE}, the latter as the list that it takes."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--recordings", type=pathlib.Path, required=True,
                        help="folder with FLAC or WAV files of 16 kHz, one channel")
    parser.add_argument("--files", type=pathlib.Path, required=True, help="folder for scratch")
    parser.add_argument("--count", type=int, default=40, help="recordings, spread over the folder")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=pathlib.Path, help="Markdown page (standard output too)")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all without")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    paths = sorted(path for path in arguments.recordings.rglob("*")
                   if path.suffix in (".flac", ".wav"))
    if not paths:
        parser.error(f"{arguments.recordings} holds no FLAC or WAV file")
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    recordings = [soundfile.read(path, dtype="float32") for path in paths]
    wrong = [path for path, (samples, rate) in zip(paths, recordings)
             if rate != RATE or samples.ndim != 1]
    if wrong:
        parser.error(f"{wrong[0]} is not of {RATE} Hz and one channel")
    recordings = [samples for samples, _ in recordings]
    torch.set_num_threads(1)
    arguments.files.mkdir(parents=True, exist_ok=True)
    listing = arguments.files / "recordings.txt"
    listing.write_text("".join(f"{path.resolve()}\n" for path in paths))
    seconds = sum(map(len, recordings)) / RATE
    page = ["## Features beside their peers", "", machine(arguments, seconds, len(paths))]
    print("\n".join(page), flush=True)
    for case in arguments.cases or CASES:
        lines = measure(arguments, case, recordings, listing)
        print("\n".join(lines), flush=True)
        page += lines
    if arguments.output:
        arguments.output.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
