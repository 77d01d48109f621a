"""Golden values of Kaldi's MFCC (by kaldi-native-fbank) and spectrogram (by torchaudio), two
independent implementations. Neither has PLP: that is held to HTK's output and to its definition.

Run it in a virtual environment:  pip install kaldi-native-fbank==1.23.0 torch==2.11.0 torchaudio==2.11.0
                                  python make_cepstra.py > cepstra.txt
"""

import kaldi_native_fbank as knf
import torch
import torchaudio.compliance.kaldi as compliance

from signal_of_tests import print_case, signal

# What differs from the defaults, by our names of the options; dither is 0 everywhere.
MFCC = {
    "MFCC": {},
    "coefficient 0 instead of the energy": {"use-energy": False},
    "windowed energy last": {"raw-energy": False, "htk-compat": True, "window-type": "hamming"},
    "coefficient 0 last, no lifter": {
        "use-energy": False, "htk-compat": True, "cepstral-lifter": 0.0,
    },
    "high resolution": {"use-energy": False, "num-mel-bins": 40, "num-ceps": 40, "low-freq": 20.0,
                        "high-freq": -400.0},
    "telephone, mirrored edges": {"sample-frequency": 8000.0, "num-mel-bins": 15,
                                  "snip-edges": False, "cepstral-lifter": 10.0},
    "one coefficient": {"num-ceps": 1, "use-energy": False},
    "long frames, energy with a floor": {"frame-length": 250.0, "frame-shift": 50.0,
                                         "energy-floor": 1e11},
}
SPECTROGRAM = {
    "spectrogram": {},
    "spectrogram, windowed energy with a floor": {"raw-energy": False, "energy-floor": 1e10,
                                                  "window-type": "hanning"},
    "spectrogram without filling, mirrored edges": {"snip-edges": False,
                                                    "round-to-power-of-two": False},
}

FRAME = {
    "sample-frequency": "samp_freq", "frame-length": "frame_length_ms",
    "frame-shift": "frame_shift_ms", "window-type": "window_type", "snip-edges": "snip_edges",
}
MEL = {"num-mel-bins": "num_bins", "low-freq": "low_freq", "high-freq": "high_freq"}


def mfcc(changes):
    options = knf.MfccOptions()
    options.frame_opts.dither = 0.0
    for key, value in changes.items():
        if key in FRAME:
            setattr(options.frame_opts, FRAME[key], value)
        elif key in MEL:
            setattr(options.mel_opts, MEL[key], value)
        else:
            setattr(options, key.replace("-", "_"), value)
    extractor = knf.OnlineMfcc(options)
    extractor.accept_waveform(options.frame_opts.samp_freq, samples)
    extractor.input_finished()
    return [extractor.get_frame(index) for index in range(extractor.num_frames_ready)]


def spectrogram(changes):
    changes = {"energy-floor": 0.0} | changes
    changes = {key.replace("-", "_"): value for key, value in changes.items()}
    wave = torch.tensor([samples], dtype=torch.float32)
    return compliance.spectrogram(wave, **changes).tolist()


samples = signal()
print("# kaldi-native-fbank 1.23.0 and torchaudio 2.11.0, by make_cepstra.py")
for name, changes in MFCC.items():
    print_case(name, {"kind": "mfcc"} | changes, mfcc(changes))
for name, changes in SPECTROGRAM.items():
    print_case(name, {"kind": "log-spectrogram", "use-energy": True} | changes,
               spectrogram(changes))
