"""Our features beside kaldi-native-fbank's and torchaudio's, over a grid of Kaldi's options.

    pip install numpy soundfile kaldi-native-fbank==1.23.0 torch==2.11.0 torchaudio==2.11.0
    cargo build --release -p labyrinth-signal --example extract
    python bench/features/compare.py AN4/flac target/release/examples/extract > bench/features/AGREEMENT.md

200 recordings are taken, spread evenly over the sorted list of all. Each cell is the greatest and the
mean absolute difference over all values of all frames; without logarithm, relative to the value.
Where any pair of the three differs by more than 1e-4, all three are also held against the same
definition in double precision (numpy), which tells rounding from a difference of definition.

It takes half an hour. With `--rows FILE` each row is kept in FILE as soon as it is there, and rows that
are there already are not computed again.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import soundfile
import torch
import torchaudio.compliance.kaldi as compliance

COUNT = 200
LIMIT = 1e-4
torch.set_num_threads(1)

# ---- the grid: what differs from Kaldi's defaults (dither is 0 everywhere)

WINDOWS = ["povey", "hanning", "hamming", "rectangular", "blackman", "sine"]


def grid():
    for kind in ("fbank", "mfcc", "spectrogram"):
        yield kind, {}
        for window in WINDOWS:
            for snip in (True, False):
                if (window, snip) != ("povey", True) and (kind == "fbank" or snip and window != "sine"):
                    yield kind, {"window-type": window, "snip-edges": snip}
        yield kind, {"preemphasis-coefficient": 0.0}
        yield kind, {"preemphasis-coefficient": 0.0, "remove-dc-offset": False}
        yield kind, {"remove-dc-offset": False}
        yield kind, {"round-to-power-of-two": False}
        for length, shift in ((20.0, 10.0), (25.0, 5.0), (50.0, 20.0), (250.0, 50.0)):
            yield kind, {"frame-length": length, "frame-shift": shift}
    energies = [{"use-energy": True, "raw-energy": raw, "htk-compat": htk}
                for raw in (True, False) for htk in (True, False)]
    bands = [{"low-freq": 0.0}, {"low-freq": 60.0, "high-freq": -400.0},
             {"low-freq": 125.0, "high-freq": 7600.0}, {"low-freq": 300.0, "high-freq": 3400.0}]
    for kind in ("fbank", "mfcc"):
        for changes in energies + bands:
            yield kind, changes
        yield kind, {"use-energy": True, "energy-floor": 1e7}
        for bins in (15, 40, 80):
            yield kind, {"num-mel-bins": bins}
        yield kind, {"sample-frequency": 8000.0, "num-mel-bins": 15}
        for warp in (0.85, 0.9, 1.1):
            yield kind, {"vtln-warp": warp}
        yield kind, {"vtln-warp": 1.15, "vtln-low": 200.0, "vtln-high": 7000.0, "num-mel-bins": 40}
    yield "fbank", {"num-mel-bins": 128, "frame-length": 64.0}
    yield "fbank", {"use-power": False}
    yield "fbank", {"use-log-fbank": False}
    yield "fbank", {"use-log-fbank": False, "use-power": False}
    yield "mfcc", {"use-energy": False}
    yield "mfcc", {"use-energy": False, "htk-compat": True}
    yield "mfcc", {"use-energy": False, "num-mel-bins": 40, "num-ceps": 40, "high-freq": -400.0}
    yield "mfcc", {"use-energy": False, "cepstral-lifter": 0.0}
    yield "mfcc", {"cepstral-lifter": 10.0, "num-ceps": 20}
    yield "spectrogram", {"raw-energy": False}
    yield "spectrogram", {"energy-floor": 1e8}
    # Everything at once, by a fixed draw.
    draw = random.Random(5)
    for kind in ("fbank", "mfcc") * 10:
        changes = {
            "window-type": draw.choice(WINDOWS[:5]), "snip-edges": draw.random() < 0.5,
            "preemphasis-coefficient": draw.choice([0.0, 0.5, 0.97]),
            "remove-dc-offset": draw.random() < 0.5, "use-energy": draw.random() < 0.5,
            "raw-energy": draw.random() < 0.5, "htk-compat": draw.random() < 0.5,
            "num-mel-bins": draw.choice([20, 23, 26, 40]), "low-freq": draw.choice([0.0, 20.0, 80.0]),
            "high-freq": draw.choice([0.0, -300.0, 7000.0]),
            "frame-length": draw.choice([25.0, 32.0, 64.0]), "frame-shift": draw.choice([10.0, 12.5]),
            "round-to-power-of-two": draw.random() < 0.5, "vtln-warp": draw.choice([1.0, 1.0, 0.95]),
            "vtln-high": 6500.0,
        }
        if kind == "fbank":
            changes["use-power"] = draw.random() < 0.7
        yield kind, changes


BASE = {
    "sample-frequency": 16000.0, "frame-length": 25.0, "frame-shift": 10.0, "dither": 0.0,
    "preemphasis-coefficient": 0.97, "remove-dc-offset": True, "window-type": "povey",
    "blackman-coeff": 0.42, "round-to-power-of-two": True, "snip-edges": True, "raw-energy": True,
    "energy-floor": 0.0,
}
MEL = {
    "num-mel-bins": 23, "low-freq": 20.0, "high-freq": 0.0, "htk-compat": False, "vtln-warp": 1.0,
    "vtln-low": 100.0, "vtln-high": -500.0,
}
KIND = {
    "fbank": {**MEL, "use-energy": False, "use-log-fbank": True, "use-power": True},
    "mfcc": {**MEL, "use-energy": True, "num-ceps": 13, "cepstral-lifter": 22.0},
    "spectrogram": {},
}

# ---- the programs


def ours(program, kind, options, listing, folder):
    kind = "log-spectrogram" if kind == "spectrogram" else kind
    options = {"kind": kind, "normalize": "none", **options}
    if kind == "log-spectrogram":
        options["use-energy"] = True
    word = {bool: lambda v: str(v).lower(), str: lambda v: f'"{v}"'}
    text = "".join(f"{k} = {word.get(type(v), repr)(v)}\n" for k, v in options.items())
    (folder / "options.toml").write_text(text)
    subprocess.run([program, folder / "options.toml", listing, folder / "out"], check=True)
    data, at, all_features = (folder / "out").read_bytes(), 0, []
    while at < len(data):
        frames, dim = struct.unpack_from("<II", data, at)
        values = np.frombuffer(data, "<f4", frames * dim, at + 8)
        all_features.append(values.reshape(frames, dim))
        at += 8 + 4 * frames * dim
    return all_features


FRAME_NAMES = {
    "sample-frequency": "samp_freq", "frame-length": "frame_length_ms",
    "frame-shift": "frame_shift_ms", "dither": "dither", "preemphasis-coefficient": "preemph_coeff",
    "remove-dc-offset": "remove_dc_offset", "window-type": "window_type",
    "blackman-coeff": "blackman_coeff", "round-to-power-of-two": "round_to_power_of_two",
    "snip-edges": "snip_edges",
}
MEL_NAMES = {"num-mel-bins": "num_bins", "low-freq": "low_freq", "high-freq": "high_freq",
             "vtln-low": "vtln_low", "vtln-high": "vtln_high"}


def native(kind, options, waves):
    """kaldi-native-fbank; it has no spectrogram, and its programs' warp is 1."""
    if kind == "spectrogram" or options["vtln-warp"] != 1.0:
        return None
    chosen = knf.FbankOptions() if kind == "fbank" else knf.MfccOptions()
    for key, value in options.items():
        if key in FRAME_NAMES:
            setattr(chosen.frame_opts, FRAME_NAMES[key], value)
        elif key in MEL_NAMES:
            setattr(chosen.mel_opts, MEL_NAMES[key], value)
        elif key != "vtln-warp":
            setattr(chosen, key.replace("-", "_"), value)
    rows = []
    for wave in waves:
        extractor = (knf.OnlineFbank if kind == "fbank" else knf.OnlineMfcc)(chosen)
        extractor.accept_waveform(options["sample-frequency"], wave)
        extractor.input_finished()
        rows.append(np.array([extractor.get_frame(i) for i in range(extractor.num_frames_ready)]))
    return rows


def torchaudio(kind, options, waves):
    """torchaudio; it has no sine window."""
    if options["window-type"] == "sine":
        return None
    options = {key.replace("-", "_"): value for key, value in options.items()}
    function = getattr(compliance, kind)
    return [function(torch.from_numpy(wave)[None], **options).numpy() for wave in waves]


def double(kind, options, wave, rounding=None):
    """Kaldi's definition in double precision. Into the list `rounding` goes for each logarithm what one
    rounding of the frame's greatest bin does to it: see `main`."""
    o = options
    length = int(o["sample-frequency"] * 0.001 * o["frame-length"])
    shift = int(o["sample-frequency"] * 0.001 * o["frame-shift"])
    wave = wave.astype(np.float64)
    n = len(wave)
    if o["snip-edges"]:
        starts = np.arange(0, n - length + 1, shift)
    else:
        starts = np.arange((n + shift // 2) // shift) * shift + shift // 2 - length // 2
    index = (starts[:, None] + np.arange(length)) % (2 * n)
    frames = wave[np.where(index < n, index, 2 * n - 1 - index)]
    if o["remove-dc-offset"]:
        frames = frames - frames.mean(axis=1, keepdims=True)
    eps = 2.0**-23

    def energy(frames):
        value = np.log(np.maximum((frames**2).sum(axis=1), eps))
        return np.maximum(value, np.log(o["energy-floor"])) if o["energy-floor"] > 0 else value

    log_energy = energy(frames)
    frames = frames - o["preemphasis-coefficient"] * np.hstack([frames[:, :1], frames[:, :-1]])
    angle = 2 * np.pi * np.arange(length) / (length - 1)
    hann = 0.5 - 0.5 * np.cos(angle)
    frames = frames * {
        "povey": hann**0.85, "hanning": hann, "hamming": 0.54 - 0.46 * np.cos(angle),
        "rectangular": np.ones(length), "sine": np.sin(angle / 2),
        "blackman": 0.42 - 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle),
    }[o["window-type"]]
    if not o["raw-energy"]:
        log_energy = energy(frames)
    points = 1 << (length - 1).bit_length() if o["round-to-power-of-two"] else length
    spectrum = np.abs(np.fft.rfft(frames, points))
    if kind == "spectrogram":
        rows = np.log(np.maximum(spectrum**2, eps))
        if rounding is not None:
            rounding.append(2 * eps * spectrum.max(axis=1, keepdims=True) / np.exp(rows / 2))
        rows[:, 0] = log_energy
        return rows
    spectrum = spectrum if not o.get("use-power", True) else spectrum**2
    mel = lambda f: 1127 * np.log(1 + f / 700)
    nyquist = o["sample-frequency"] / 2
    low, high = o["low-freq"], o["high-freq"] if o["high-freq"] > 0 else nyquist + o["high-freq"]
    corners = np.linspace(mel(low), mel(high), o["num-mel-bins"] + 2)
    warp = o["vtln-warp"]
    if warp != 1.0:
        upper = (o["vtln-high"] if o["vtln-high"] > 0 else nyquist + o["vtln-high"]) * min(1, warp)
        lower = o["vtln-low"] * max(1, warp)
        hertz = 700 * (np.exp(corners / 1127) - 1)
        corners = mel(np.interp(hertz, [low, lower, upper, high],
                                [low, lower / warp, upper / warp, high]))
    bins = mel(np.arange(points // 2) * o["sample-frequency"] / points)
    left, center, right = (corners[i : i + o["num-mel-bins"], None] for i in range(3))
    weights = np.maximum(0, np.minimum((bins - left) / (center - left), (right - bins) / (right - center)))
    rows = spectrum[:, : points // 2] @ weights.T
    if o.get("use-log-fbank", True):
        rows = np.log(np.maximum(rows, eps))
        if rounding is not None:
            greatest = np.sqrt(weights.sum(axis=1)) * spectrum.max(axis=1, keepdims=True)
            rounding.append(2 * eps * greatest / np.exp(rows / 2))
    if kind == "mfcc":
        count = o["num-mel-bins"]
        k, b = np.arange(o["num-ceps"])[:, None], np.arange(count)
        matrix = np.sqrt(np.where(k == 0, 1, 2) / count) * np.cos(np.pi * k * (b + 0.5) / count)
        rows = rows @ matrix.T
        q = o["cepstral-lifter"]
        if q:
            rows = rows * (1 + q / 2 * np.sin(np.pi * np.arange(o["num-ceps"]) / q))
        if o["use-energy"]:
            rows[:, 0] = log_energy
        if o["htk-compat"]:
            first = rows[:, :1] * (1 if o["use-energy"] else np.sqrt(2))
            rows = np.hstack([rows[:, 1:], first])
    elif o["use-energy"]:
        energy_column = log_energy[:, None]
        rows = np.hstack([rows, energy_column] if o["htk-compat"] else [energy_column, rows])
    return rows


# ---- the table


def difference(left, right, relative):
    if left is None or right is None:
        return None
    worst, total, count = 0.0, 0.0, 0
    for a, b in zip(left, right, strict=True):
        if a.shape != b.shape:
            return "shape"
        distance = np.abs(a.astype(np.float64) - b)
        if relative:
            distance /= np.maximum(1, np.abs(b))
        worst, total, count = max(worst, distance.max()), total + distance.sum(), count + distance.size
    return worst, total / count


def definition(program, cases, waves, paths, folder):
    """Two figures over all combinations: torchaudio run in double precision against `double`, and the
    differences of spectrum and filterbank in units of one rounding of the frame's greatest bin."""
    torch.set_default_dtype(torch.float64)
    departs = 0.0
    for kind, changes in cases:
        options = {**BASE, **KIND[kind], **changes}
        exact = torchaudio(kind, options, [wave.astype(np.float64) for wave in waves])
        if exact is not None:
            truth = [double(kind, options, wave) for wave in waves]
            found = difference(exact, truth, not options.get("use-log-fbank", True))
            print(kind, changes, found, file=sys.stderr)
            departs = max(departs, found[0])
    torch.set_default_dtype(torch.float32)
    listing = folder / "few"
    listing.write_text("".join(f"{path}\n" for path in paths))
    roundings = [0.0, 0.0]
    for kind, changes in cases:
        options = {**BASE, **KIND[kind], **changes}
        plain = options.get("use-power", True) and options.get("use-log-fbank", True)
        if kind == "mfcc" or options.get("use-energy") or not plain or options["window-type"] == "sine":
            continue
        unit = []
        truth = [double(kind, options, wave, unit) for wave in waves]
        own = ours(program, kind, options, listing, folder)
        for place, features in enumerate((own, torchaudio(kind, options, waves))):
            first = 1 if kind == "spectrogram" else 0  # the energy
            found = max(float((np.abs(a - b) / u)[:, first:].max())
                        for a, b, u in zip(features, truth, unit, strict=True))
            roundings[place] = max(roundings[place], found)
    return departs, roundings


def cell(value):
    if value is None:
        return "—"
    return value if isinstance(value, str) else f"{value[0]:.1e} / {value[1]:.0e}"


def above(text):
    """Whether a cell is more than the limit, as it is printed."""
    return text == "shape" or text != "—" and float(text.split()[0]) > LIMIT


def main():
    corpus, program = Path(sys.argv[1]), sys.argv[2]
    everything = sorted(corpus.rglob("*.flac"))
    paths = [everything[i * len(everything) // COUNT] for i in range(COUNT)]
    waves = [soundfile.read(path, dtype="int16")[0].astype(np.float32) for path in paths]
    speakers = len({path.parent for path in paths})
    seconds = sum(map(len, waves)) / 16000
    cases = list(grid())
    few = slice(None, None, 10)
    with tempfile.TemporaryDirectory() as folder:
        departs, roundings = definition(program, cases, waves[few], paths[few], Path(folder))
    said = (
        f"* Run in double precision, torchaudio departs from the definition by at most {departs:.0e} over "
        f"all combinations it has ({len(paths[few])} recordings): nothing but rounding is left of it. A "
        "rounding of the greatest bin of a frame, 2^-23 of it, is a greater part of a faint bin, and the "
        "logarithm shows parts. In units of that, spectra and filterbanks are off by at most "
        f"{roundings[0]:.1f} (ours) and {roundings[1]:.1f} (torchaudio) roundings.\n"
    )
    print(said, file=sys.stderr)
    if "--definition-only" in sys.argv:
        return
    rows = {}
    kept = Path(sys.argv[sys.argv.index("--rows") + 1]) if "--rows" in sys.argv else None
    if kept and kept.exists():
        for line in kept.read_text().splitlines():
            kind, words, *cells = line.split("\t")
            rows[kind, words] = cells
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        listing = folder / "list"
        listing.write_text("".join(f"{path}\n" for path in paths))
        for number, (kind, changes) in enumerate(cases, 1):
            words = ", ".join(f"{key} {value}".lower() for key, value in changes.items()) or "defaults"
            if (kind, words) in rows:
                continue
            options = {**BASE, **KIND[kind], **changes}
            relative = not options.get("use-log-fbank", True)
            own = ours(program, kind, options, listing, folder)
            peers = native(kind, options, waves), torchaudio(kind, options, waves)
            pairs = [difference(own, peers[0], relative), difference(own, peers[1], relative),
                     difference(peers[0], peers[1], relative)]
            cells = [*map(cell, pairs), "", "", ""]
            if any(map(above, cells[:3])):
                truth = [double(kind, options, wave) for wave in waves]
                cells[3:] = [cell(difference(x, truth, relative)) for x in (own, *peers)]
            rows[kind, words] = cells
            print(number, len(cases), kind, words, *cells, file=sys.stderr)
            if kept:
                with kept.open("a") as file:
                    file.write("\t".join([kind, words, *cells]) + "\n")
    order = [(kind, ", ".join(f"{key} {value}".lower() for key, value in changes.items()) or "defaults")
             for kind, changes in cases]
    tally = [rows[key] for key in order]
    lines = ["| " + " | ".join([str(number), *key, *rows[key]]) + " |"
             for number, key in enumerate(order, 1)]
    here = Path(__file__).parent
    notes = (here / "AGREEMENT-NOTES.md").read_text() if (here / "AGREEMENT-NOTES.md").exists() else ""
    print("# Agreement with kaldi-native-fbank and torchaudio.compliance.kaldi\n")
    print(f"{len(cases)} combinations of Kaldi's options, {COUNT} recordings of AN4 ({seconds:.0f} s, "
          f"{speakers} speakers), 16-bit scale, dither 0; kaldi-native-fbank "
          f"{knf.__version__ if hasattr(knf, '__version__') else '1.23.0'}, torchaudio 2.11.0. "
          "Written by `compare.py` beside this file, which says how.\n")
    both = [cells for cells in tally if "—" not in cells[:3]]
    close = [cells for cells in both if not above(cells[2])]
    equal = [cells for cells in close if not above(cells[0]) and not above(cells[1])]
    print(f"* Both peers have {len(both)} of the combinations. They agree with each other to {LIMIT:g} in "
          f"{len(close)}; there we agree with both to {LIMIT:g} in {len(equal)}.")
    print(f"* One peer alone has the other {len(tally) - len(both)}.")
    print(said)
    print(notes.strip() + "\n")
    print("Each cell: greatest / mean difference. `—`: that peer does not have it. The last three "
          "columns are filled where a pair differs by more than 1e-4: the distance of each from the "
          "same definition in double precision.\n")
    print("| | kind | options | ours–knf | ours–torchaudio | knf–torchaudio | ours–f64 | knf–f64 | torchaudio–f64 |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


main()
