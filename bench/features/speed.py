"""Features beside their peers in Python: agreement first, then times in turn, as a Markdown page.

labyrinth's bench binary stays warm as child processes; the peers run here, one thread each, called as
their users call them. All have the same recordings in memory. In a round each gets one short turn
after the other, so that what the machine does meanwhile meets all of them. A machine that others use
lengthens turns and never shortens them: beside the medians stand the shortest turns.
"""

import argparse
import datetime
import importlib.util
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
    "mfcc-cmvn": ("MFCC less its mean over the recording, 25/10 ms", 25, 10, "mfcc-cmvn", 23),
    "dither": ("Filterbank with dither 1, 80 filters, 25/10 ms", 25, 10, "dither", 80),
    "pitch": ("Kaldi's pitch and its post-processing, 25/10 ms", 25, 10, "pitch", None),
}
# Where torchaudio and kaldi-native-fbank agree with each other to the first, ours may differ from
# either by the second. (Elsewhere a filter's energy is so small beside the frame's largest that single
# precision decides: there the two differ from each other and from double precision as much.)
PEERS_AGREE, OURS_AGREE = 1e-4, 1e-3
# What is wanted of the first case: their time is at least so many times ours.
TARGETS = {"torchaudio": 9, "kaldi-native-fbank": 13, "librosa": 3.7}


def less_its_mean(function):
    """The same features with the mean of each column over the recording subtracted."""
    return lambda wave: (lambda rows: rows - rows.mean(0))(function(wave))


# Each peer: from recordings and a case to what computes all recordings once, or None. Options that its
# users would leave at other defaults are given where they change what is computed: Kaldi's MFCC has the
# energy in place of coefficient 0, and a floor of 0 for it.


def torchaudio_peer(recordings, length, shift, kind, filters):
    waves = [torch.from_numpy(samples)[None] * SCALE for samples in recordings]
    options = dict(sample_frequency=RATE, frame_length=length, frame_shift=shift,
                   num_mel_bins=filters, dither=1.0 if kind == "dither" else 0.0)
    if kind.startswith("mfcc"):
        options.update(use_energy=True, energy_floor=0.0)
        function = torchaudio.compliance.kaldi.mfcc
    else:
        function = torchaudio.compliance.kaldi.fbank
    compute = lambda wave: function(wave, **options)
    if kind == "mfcc-cmvn":
        compute = less_its_mean(compute)
    return lambda: [compute(wave) for wave in waves]


def kaldi_native_peer(recordings, length, shift, kind, filters):
    name = "Mfcc" if kind.startswith("mfcc") else "Fbank"
    options = getattr(kaldi_native_fbank, f"{name}Options")()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.frame_length_ms = length
    options.frame_opts.frame_shift_ms = shift
    options.frame_opts.dither = 1 if kind == "dither" else 0
    options.mel_opts.num_bins = filters
    online = getattr(kaldi_native_fbank, f"Online{name}")
    waves = [(samples * SCALE).tolist() for samples in recordings]

    def compute(wave):
        computer = online(options)
        computer.accept_waveform(RATE, wave)
        computer.input_finished()
        return numpy.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])

    if kind == "mfcc-cmvn":
        compute = less_its_mean(compute)
    return lambda: [compute(wave) for wave in waves]


def librosa_peer(recordings, length, shift, kind, filters):
    if kind == "dither":
        return None  # it has none
    window, hop = RATE * length // 1000, RATE * shift // 1000
    options = dict(sr=RATE, n_fft=1 << (window - 1).bit_length(), win_length=window,
                   hop_length=hop, n_mels=filters)

    def compute(y):
        if kind.startswith("mfcc"):
            return librosa.feature.mfcc(y=y, n_mfcc=13, **options).T
        return numpy.log(numpy.maximum(librosa.feature.melspectrogram(y=y, **options), 1e-10)).T

    if kind == "mfcc-cmvn":
        compute = less_its_mean(compute)
    return lambda: [compute(y) for y in recordings]


def lhotse_peer(recordings, length, shift, kind, filters):
    # lhotse's default is frames beyond the edges and filters to 7600 Hz; here it computes the same
    # frames and filters as the others.
    mfcc = kind.startswith("mfcc")
    extractor, config = (Mfcc, MfccConfig) if mfcc else (Fbank, FbankConfig)
    options = dict(frame_length=length / 1000, frame_shift=shift / 1000, num_filters=filters,
                   snip_edges=True, high_freq=0.0)
    if kind == "dither":
        options["dither"] = 1 / SCALE
    # Its use_energy=True ends in an error (`mfcc[:, 0] = log_e` in `layers.py` meets three dimensions),
    # so that it keeps coefficient 0.
    with warnings.catch_warnings(action="ignore"):
        extractor = extractor(config(**options))
    compute = lambda samples: extractor.extract(samples, RATE)
    if kind == "mfcc-cmvn":
        compute = less_its_mean(compute)
    return lambda: [compute(samples) for samples in recordings]


PEERS = {
    "torchaudio": torchaudio_peer,
    "kaldi-native-fbank": kaldi_native_peer,
    "librosa": librosa_peer,
    "lhotse": lhotse_peer,
}

# ---- pitch

LOW, HIGH = 50, 400  # Hz, Kaldi's range
PYIN = "librosa.pyin"
PYIN_PART = 8  # it is slow: every eighth recording, and its times as if it had had all


def golden_pitch():
    """Kaldi's own pitch, as compiled into the wheel of vosk: the functions of our golden script."""
    path = pathlib.Path(__file__).parents[2] / "crates/signal/tests/golden/make_pitch.py"
    spec = importlib.util.spec_from_file_location("make_pitch", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pitch_peers(recordings, shift):
    hop = RATE * shift // 1000
    kaldi = golden_pitch()
    waves = [samples * SCALE for samples in recordings]
    range_ = dict(fmin=LOW, fmax=HIGH, sr=RATE, frame_length=1024, hop_length=hop)
    part = recordings[::PYIN_PART]
    times = sum(map(len, recordings)) / sum(map(len, part))
    return [
        Peer("Kaldi (in vosk)", lambda: [kaldi.process(kaldi.pitch(w, {}), {}) for w in waves]),
        Peer("librosa.yin", lambda: [librosa.yin(y, **range_) for y in recordings]),
        Peer(PYIN, lambda: [librosa.pyin(y, **range_)[0] for y in part], times),
        Peer("torchaudio.functional", lambda: [
            torchaudio.functional.detect_pitch_frequency(
                torch.from_numpy(y)[None], RATE, frame_time=shift / 1000, freq_low=LOW, freq_high=HIGH)
            for y in recordings
        ]),
    ]


def pitch_agreement(ours, peers):
    """How far Kaldi's own features of pitch are from ours; the other peers are other algorithms."""
    theirs = numpy.concatenate(peers[0].run())
    if theirs.shape != ours.shape:
        sys.exit(f"pitch: Kaldi's has shape {theirs.shape}, ours is {ours.shape}")
    difference = numpy.abs(theirs - ours).max(axis=1)
    near = (difference <= 1e-2).mean()
    if near < 0.95:
        sys.exit(f"pitch: only {near:.1%} of the frames are near Kaldi's")
    return (
        f"Kaldi's: {near * 100:.2f} % of the frames within 1e-2 in all three numbers, median "
        f"{numpy.median(difference):.1e} (where two paths cost the same to rounding, either is "
        f"right); `librosa.yin`, `{PYIN}` (every {PYIN_PART}th recording, its times as if it had had "
        "all) and `torchaudio.functional.detect_pitch_frequency` are other algorithms, without "
        "Kaldi's voicing and without its post-processing: a loose measure of speed, none of values"
    )


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

    def __init__(self, title, run, times_as_long=1.0):
        self.title, self.run, self.times_as_long, self.times = title, run, times_as_long, []

    def turn(self):
        begin = time.perf_counter()
        self.run()
        self.times.append((time.perf_counter() - begin) * 1e3 * self.times_as_long)

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
            phrases.append(f"{title}: other frames by definition, not compared")
            continue
        mine, title = ours, f"{title}, all"
        if title.startswith("lhotse"):
            if case.startswith("mfcc"):
                title = "lhotse, all but the energy"
                values, mine = values[:, 1:], ours[:, 1:]
            else:
                values = values + 2 * numpy.log(SCALE)  # its samples are not multiplied
        difference = numpy.abs(values - mine)
        phrases.append(f"{title}: {difference.max():.1e}, mean {difference.mean():.1e}")
    return "; ".join(phrases)


def measure(arguments, case, recordings, listing):
    title, length, shift, kind, filters = CASES[case]
    options = [f"frame-length={length}", f"frame-shift={shift}"]
    words = {"pitch": ["--pitch"], "mfcc-cmvn": ["--subtract-mean"]}.get(kind, [])
    if kind != "pitch":
        name = "mfcc" if kind.startswith("mfcc") else "fbank"
        options += [f'kind="{name}"', f"num-mel-bins={filters}"]
        options += ["use-energy=true"] * (name == "mfcc") + ["dither=1"] * (kind == "dither")
    binary, file = arguments.binary, arguments.files / "features.f32"
    try:
        ours = Ours("**labyrinth**", binary, listing, options, words)
    except RuntimeError as error:
        print(f"{case} is left out: {error}", file=sys.stderr)
        return []
    contenders = [ours]
    # Pitch is the same code on every machine.
    for instructions in () if kind == "pitch" else ("portable", "avx2"):
        try:
            contenders.append(Ours(f"labyrinth, {instructions}", binary, listing, options,
                                   (*words, "--instructions", instructions)))
        except RuntimeError:
            print(f"{case}: no figure for {instructions}", file=sys.stderr)
    contenders.append(Ours("labyrinth, two threads", binary, listing, options,
                           (*words, "--threads", "2")))
    values = ours.features(file)
    if kind == "pitch":
        peers = pitch_peers(recordings, shift)
        found = pitch_agreement(values, peers)
    else:
        made = {name: make(recordings, length, shift, kind, filters) for name, make in PEERS.items()}
        peers = [Peer(name, run) for name, run in made.items() if run]
        found = ("each draws its own noise, so values are not compared" if kind == "dither"
                 else agreement(case, values, peers))
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
