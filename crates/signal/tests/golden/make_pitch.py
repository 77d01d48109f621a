"""Golden values of Kaldi's pitch, by Kaldi itself: the wheel of vosk carries its compiled library.

Run it in a virtual environment:  pip install vosk==0.3.45 numpy soundfile
                                  python make_pitch.py > pitch.txt
The functions are called by their C++ names, with the layouts of Kaldi's option structs. (torchaudio
up to 2.0 also carries Kaldi's pitch, compiled on tensors, but its path is wrong: its `Vector::Swap`
exchanges the tensors and leaves the pointers that the Viterbi reads, so that transitions start
from stale costs; it reads freed memory when fed in chunks; its scaling to 16 bits is without effect
and `nccf_ballast` is not passed on. Its correlations at the lag it chose are Kaldi's.)

The signal is made of integers, so that the test in Rust makes the same one.

With two folders, recordings and an empty one, it writes for each recording and set of options what
`cargo run --release --example pitch_agreement FOLDER` compares:
                                  python make_pitch.py RECORDINGS FOLDER [how many]
"""

import ctypes
import importlib.util
import os
import pathlib
import sys

import numpy

SAMPLES = 24000

F, I, B = ctypes.c_float, ctypes.c_int32, ctypes.c_bool


class PitchOptions(ctypes.Structure):
    """kaldi::PitchExtractionOptions"""

    NAMES = (
        "sample-frequency frame-shift frame-length preemphasis-coefficient min-f0 max-f0 "
        "soft-min-f0 penalty-factor lowpass-cutoff resample-frequency delta-pitch nccf-ballast "
        "lowpass-filter-width upsample-filter-width max-frames-latency frames-per-chunk "
        "simulate-first-pass-online recompute-frame nccf-ballast-online snip-edges"
    ).split()
    _fields_ = list(zip(NAMES, [F] * 12 + [I] * 4 + [B, I, B, B]))
    DEFAULTS = (
        16000, 10, 25, 0, 50, 400, 10, 0.1, 1000, 4000, 0.005, 7000, 1, 5, 0, 0, False, 500, False,
        True,
    )


class ProcessOptions(ctypes.Structure):
    """kaldi::ProcessPitchOptions"""

    NAMES = (
        "pitch-scale pov-scale pov-offset delta-pitch-scale delta-pitch-noise-stddev "
        "normalization-left-context normalization-right-context delta-window delay "
        "add-pov-feature add-normalized-log-pitch add-delta-pitch add-raw-log-pitch"
    ).split()
    _fields_ = list(zip(NAMES, [F] * 5 + [I] * 4 + [B] * 4))
    DEFAULTS = (2, 2, 0, 10, 0.005, 75, 75, 2, 0, True, True, True, False)


class Vector(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(F)), ("dim", I)]


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(F)), ("cols", I), ("rows", I), ("stride", I)]

    def numpy(self):
        if self.rows == 0:
            return numpy.zeros((0, 2), numpy.float32)
        rows = numpy.ctypeslib.as_array(self.data, (self.rows, self.stride))
        return rows[:, : self.cols].copy()


def kaldi():
    package = importlib.util.find_spec("vosk").submodule_search_locations[0]
    return ctypes.CDLL(str(pathlib.Path(package) / "libvosk.so"))


KALDI = kaldi()
COMPUTE = KALDI._ZN5kaldi17ComputeKaldiPitchERKNS_22PitchExtractionOptionsERKNS_10VectorBaseIfEEPNS_6MatrixIfEE
PROCESS = KALDI._ZN5kaldi12ProcessPitchERKNS_19ProcessPitchOptionsERKNS_10MatrixBaseIfEEPNS_6MatrixIfEE


def struct(kind, options):
    values = dict(zip(kind.NAMES, kind.DEFAULTS))
    assert set(options) <= set(values), options
    values.update(options)
    return kind(*(values[name] for name in kind.NAMES))


def pitch(samples, options):
    """Rows of (nccf, pitch) of 16-bit samples."""
    wave = numpy.ascontiguousarray(samples, numpy.float32)
    vector = Vector(wave.ctypes.data_as(ctypes.POINTER(F)), len(wave))
    out = Matrix()
    COMPUTE(ctypes.byref(struct(PitchOptions, options)), ctypes.byref(vector), ctypes.byref(out))
    return out.numpy()


def process(rows, options):
    """Features from rows of (nccf, pitch); without noise, whose generator is Kaldi's own."""
    options = {"delta-pitch-noise-stddev": 0.0, **options}
    rows = numpy.ascontiguousarray(rows, numpy.float32)
    matrix = Matrix(rows.ctypes.data_as(ctypes.POINTER(F)), rows.shape[1], len(rows), rows.shape[1])
    out = Matrix()
    PROCESS(ctypes.byref(struct(ProcessOptions, options)), ctypes.byref(matrix), ctypes.byref(out))
    return out.numpy()


# What differs from the defaults.
CASES = {
    "default": {},
    "silence around": {"snip-edges": False},
    "telephone": {"sample-frequency": 8000.0},
    "settled on the way": {"sample-frequency": 8000.0, "recompute-frame": 40},
    "long frames": {"frame-length": 50.0, "frame-shift": 12.5},
    "other range": {"min-f0": 70.0, "max-f0": 300.0, "soft-min-f0": 30.0, "delta-pitch": 0.01},
    "other path": {"penalty-factor": 0.5, "nccf-ballast": 100.0, "max-f0": 500.0},
    "other filters": {
        "lowpass-filter-width": 4, "upsample-filter-width": 8, "lowpass-cutoff": 900.0,
        "resample-frequency": 5000.0, "max-f0": 300.0,
    },
    "pre-emphasis": {"preemphasis-coefficient": 0.9, "snip-edges": False},
    "ballast of the frame": {"nccf-ballast-online": True},
    "chunks, final": {"frames-per-chunk": 10},
    "chunks, ballast of the frame": {
        "frames-per-chunk": 3, "nccf-ballast-online": True, "simulate-first-pass-online": True,
        "max-frames-latency": 10,
    },
    "chunks, first pass": {"frames-per-chunk": 10, "simulate-first-pass-online": True},
    "chunks of one, waiting": {
        "frames-per-chunk": 1, "simulate-first-pass-online": True, "max-frames-latency": 30,
    },
    "chunks, early recomputation": {
        "frames-per-chunk": 7, "simulate-first-pass-online": True, "recompute-frame": 60,
        "max-frames-latency": 5,
    },
    "chunks, loudness known late": {
        "frames-per-chunk": 2, "nccf-ballast": 20.0, "penalty-factor": 2.0, "soft-min-f0": 50.0,
        "recompute-frame": 120,
    },
    "chunks, final, silence around": {
        "frames-per-chunk": 5, "snip-edges": False, "recompute-frame": 40,
    },
}

PROCESS_CASES = {
    "default": {},
    "short windows": {
        "normalization-left-context": 20, "normalization-right-context": 5, "delta-window": 4,
        "pov-scale": 1.5, "pov-offset": 0.25, "pitch-scale": 3.0, "delta-pitch-scale": 7.0,
    },
    "delayed, all four": {"delay": 6, "add-raw-log-pitch": True},
    "raw only": {
        "add-pov-feature": False, "add-normalized-log-pitch": False, "add-delta-pitch": False,
        "add-raw-log-pitch": True,
    },
}


def signal():
    """A glide of pulses under two resonances, louder later, with noise and a silence inside."""
    samples, phase, one, two = [], 0, [0, 0], [0, 0]
    for i in range(SAMPLES):
        # 1/16000 of a turn per Hz: 120 to 240 Hz and back.
        phase += 120 + (i if i < SAMPLES // 2 else SAMPLES - i) // 100
        pulse = 4000 if phase >= 16000 else 0
        phase %= 16000
        noise = (i * i * 7 + i * 13) % 2003 - 1001
        voiced = pulse if not 9000 <= i < 13000 else 0
        drive = voiced + noise // (8 if i < 9000 else 40)
        new = drive + one[0] * 1810 // 1024 - one[1] * 940 // 1024
        one = [new, one[0]]
        new = drive + two[0] * 1000 // 1024 - two[1] * 880 // 1024
        two = [new, two[0]]
        value = (one[0] + two[0]) * (2000 + i) // 120000
        samples.append(0 if 11000 <= i < 12500 else max(-32768, min(32767, value)))
    return numpy.array(samples, dtype=numpy.int64)


def written(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def golden():
    print("# Made by make_pitch.py: Kaldi as compiled into vosk 0.3.45")
    for name, options in CASES.items():
        rows = pitch(signal(), options)
        print("case", name)
        for option, value in options.items():
            print("option", option, "=", written(value))
        print("frames", len(rows))
        for index in range(0, len(rows), 4):
            print("row", index, *(f"{value:.7g}" for value in rows[index]))
    rows = pitch(signal(), {})
    for name, options in PROCESS_CASES.items():
        features = process(rows, options)
        print("process", name)
        for option, value in options.items():
            print("option", option, "=", written(value))
        print("frames", len(features))
        for index in range(0, len(features), 5):
            print("row", index, *(f"{value:.7g}" for value in features[index]))


def survives(samples, options):
    """Whether Kaldi gets through, tried in another process: in chunks with snip-edges = false it
    keeps too little of the signal for its last frames and sometimes stops with an assertion."""
    if options.get("snip-edges", True) or not options.get("frames-per-chunk"):
        return True
    child = os.fork()
    if child == 0:
        os.close(2)
        pitch(samples, options)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def compare(recordings, folder, most):
    import soundfile

    paths = sorted(p for p in recordings.rglob("*") if p.suffix in (".wav", ".flac", ".mp3"))
    step = max(1, len(paths) // most)
    for number, path in enumerate(paths[::step][:most]):
        samples, rate = soundfile.read(path, dtype="int16")
        (folder / f"{number}.raw").write_bytes(samples.astype("<i2").tobytes())
        for case, (name, options) in enumerate(CASES.items()):
            options = {**options, "sample-frequency": float(rate)}
            if not survives(samples, options):
                print(f"{path.name}: Kaldi ends with an assertion: {name}")
                continue
            rows = pitch(samples, options)
            lines = [f"# {name}"] + [f"{o} = {written(v)}" for o, v in options.items()]
            (folder / f"{number}.{case}.toml").write_text("\n".join(lines) + "\n")
            (folder / f"{number}.{case}.rows").write_bytes(rows.astype("<f4").tobytes())


if __name__ == "__main__":
    if len(sys.argv) > 2:
        count = int(sys.argv[3]) if len(sys.argv) > 3 else 60
        compare(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), count)
    else:
        golden()
