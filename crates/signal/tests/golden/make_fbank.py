"""Golden values of Kaldi's filterbank, by kaldi-native-fbank, an independent implementation.

Run it in a virtual environment:  pip install kaldi-native-fbank==1.23.0
                                  python make_fbank.py > fbank.txt
The signal is made of integers, so that the test in Rust makes the same one.
"""

import kaldi_native_fbank as knf

from signal_of_tests import print_case, signal

# What differs from Kaldi's defaults (and ours: 80 bins, no dither), by our names of the options.
CASES = {
    "default": {},
    "frames of 250 ms every 50 ms": {"frame-length": 250.0, "frame-shift": 50.0},
    "mirrored edges": {"snip-edges": False, "num-mel-bins": 23},
    "mirrored edges, long frames": {
        "snip-edges": False, "num-mel-bins": 23, "frame-length": 250.0, "frame-shift": 50.0,
    },
    "telephone": {"sample-frequency": 8000.0, "num-mel-bins": 40},
    "telephone, long frames": {
        "sample-frequency": 8000.0, "frame-length": 250.0, "frame-shift": 50.0,
    },
    "rate without whole milliseconds": {"sample-frequency": 11025.0, "num-mel-bins": 30},
    "raw energy first": {"use-energy": True, "num-mel-bins": 23, "window-type": "hanning"},
    "windowed energy last": {
        "use-energy": True, "raw-energy": False, "htk-compat": True, "num-mel-bins": 23,
        "window-type": "hamming", "preemphasis-coefficient": 0.0, "remove-dc-offset": False,
    },
    "energy with a floor": {"use-energy": True, "energy-floor": 4e9, "num-mel-bins": 23},
    "magnitudes between edges": {
        "use-power": False, "low-freq": 60.0, "high-freq": -400.0, "num-mel-bins": 23,
        "window-type": "blackman",
    },
    "no logarithm": {"use-log-fbank": False, "num-mel-bins": 23, "window-type": "rectangular"},
    "sine window": {"num-mel-bins": 23, "window-type": "sine", "high-freq": 7600.0},
    "htk's first filter": {"htk-mode": True, "low-freq": 25.0, "num-mel-bins": 23},
}

FRAME = {
    "sample-frequency": "samp_freq", "frame-length": "frame_length_ms",
    "frame-shift": "frame_shift_ms", "preemphasis-coefficient": "preemph_coeff",
    "remove-dc-offset": "remove_dc_offset", "window-type": "window_type",
    "snip-edges": "snip_edges",
}
MEL = {
    "num-mel-bins": "num_bins", "low-freq": "low_freq", "high-freq": "high_freq",
    "htk-mode": "htk_mode",
}
OTHER = {
    "use-energy": "use_energy", "raw-energy": "raw_energy", "htk-compat": "htk_compat",
    "energy-floor": "energy_floor", "use-power": "use_power", "use-log-fbank": "use_log_fbank",
}


def main():
    samples = signal()
    print("# By make_fbank.py with kaldi-native-fbank", "1.23.0")
    for name, changes in CASES.items():
        options = knf.FbankOptions()
        options.frame_opts.dither = 0.0
        options.mel_opts.num_bins = 80
        for key, value in changes.items():
            if key in FRAME:
                setattr(options.frame_opts, FRAME[key], value)
            elif key in MEL:
                setattr(options.mel_opts, MEL[key], value)
            else:
                setattr(options, OTHER[key], value)
        fbank = knf.OnlineFbank(options)
        fbank.accept_waveform(options.frame_opts.samp_freq, samples)
        fbank.input_finished()
        print_case(name, changes, [fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


main()
