"""Golden values of Kaldi's pitch, by torchaudio 2.0.2, which was compiled from Kaldi's own source.

Run it in a virtual environment:  pip install torch==2.0.1 torchaudio==2.0.2 soundfile numpy==1.26.4
                                  python make_pitch.py > pitch.txt
The signal is made of integers, so that the test in Rust makes the same one.

With two folders, recordings and an empty one, it writes for each recording and set of options what
`cargo run --release --example pitch_agreement FOLDER` compares:
                                  python make_pitch.py RECORDINGS FOLDER [how many]
"""

import pathlib
import sys

import numpy
import torch
import torchaudio

SAMPLES = 24000

# What differs from the defaults, by our names. torchaudio has no preemphasis-coefficient and no
# nccf-ballast-online.
CASES = {
    "default": {},
    "silence around": {"snip-edges": False},
    "telephone": {"sample-frequency": 8000.0},
    "long frames": {"frame-length": 50.0, "frame-shift": 12.5},
    "other range": {"min-f0": 70.0, "max-f0": 300.0, "soft-min-f0": 30.0, "delta-pitch": 0.01},
    "other path": {"penalty-factor": 0.5, "nccf-ballast": 100.0, "max-f0": 500.0},
    "other filters": {
        "lowpass-filter-width": 4, "upsample-filter-width": 8, "lowpass-cutoff": 900.0,
        "resample-frequency": 5000.0, "max-f0": 300.0,
    },
    "chunks, final": {"frames-per-chunk": 10},
    "chunks, first pass": {"frames-per-chunk": 10, "simulate-first-pass-online": True},
    "chunks of one, waiting": {
        "frames-per-chunk": 1, "simulate-first-pass-online": True, "max-frames-latency": 30,
    },
    "chunks, early recomputation": {
        "frames-per-chunk": 7, "simulate-first-pass-online": True, "recompute-frame": 60,
        "max-frames-latency": 5,
    },
    "chunks, final, silence around": {
        "frames-per-chunk": 5, "snip-edges": False, "recompute-frame": 40,
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


def unscaled(samples):
    """The floats that torchaudio turns back into these integers: it multiplies positive samples by
    32767 and negative ones by 32768, in f32."""
    values = numpy.where(samples > 0, samples / 32767, samples / 32768).astype(numpy.float32)
    for _ in range(4):
        back = values * numpy.where(samples > 0, 32767, 32768).astype(numpy.float32)
        target = samples.astype(numpy.float32)
        values = numpy.where(back < target, numpy.nextafter(values, numpy.float32(2)), values)
        values = numpy.where(back > target, numpy.nextafter(values, numpy.float32(-2)), values)
    return torch.from_numpy(values)[None]


def pitch(samples, options):
    options = {name.replace("-", "_"): value for name, value in options.items()}
    rate = options.pop("sample_frequency", 16000.0)
    rows = torchaudio.functional.compute_kaldi_pitch(unscaled(samples), rate, **options)
    return rows[0].numpy()


def written(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def golden():
    print("# Made by make_pitch.py with torchaudio", torchaudio.__version__)
    for name, options in CASES.items():
        rows = pitch(signal(), options)
        print("case", name)
        for option, value in options.items():
            print("option", option, "=", written(value))
        print("frames", len(rows))
        for index in range(0, len(rows), 4):
            print("row", index, *(f"{value:.7g}" for value in rows[index]))


def compare(recordings, folder, most):
    import soundfile

    paths = sorted(p for p in recordings.rglob("*") if p.suffix in (".wav", ".flac"))
    step = max(1, len(paths) // most)
    for number, path in enumerate(paths[::step][:most]):
        samples, rate = soundfile.read(path, dtype="int16")
        (folder / f"{number}.raw").write_bytes(samples.astype("<i2").tobytes())
        for case, (name, options) in enumerate(CASES.items()):
            options = {**options, "sample-frequency": float(rate)}
            rows = pitch(samples.astype(numpy.int64), options)
            lines = [f"# {name}"] + [f"{o} = {written(v)}" for o, v in options.items()]
            (folder / f"{number}.{case}.toml").write_text("\n".join(lines) + "\n")
            (folder / f"{number}.{case}.rows").write_bytes(rows.astype("<f4").tobytes())


if len(sys.argv) > 2:
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    compare(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), count)
else:
    golden()
