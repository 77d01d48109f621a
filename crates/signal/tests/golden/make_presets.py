"""Golden values of Whisper's and NeMo's log-mel spectrograms, from their definitions with
PyTorch's transform and librosa's filters. Before anything is printed they are held against
independent implementations: transformers' WhisperFeatureExtractor and kaldi-native-fbank's
OnlineNemoFbank.

Run it in a virtual environment:
    pip install torch==2.11.0 librosa==0.11.0 kaldi-native-fbank==1.23.0 transformers
    python make_presets.py > presets.txt
"""

import sys

import kaldi_native_fbank as knf
import librosa
import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from signal_of_tests import print_case, signal

RATE, HOP = 16000, 160


def whisper(wave, bins):
    """As whisper/audio.py, without filling to 30 s."""
    transform = torch.stft(wave, 400, HOP, window=torch.hann_window(400), return_complex=True)
    power = transform[:, :-1].abs() ** 2
    filters = torch.tensor(librosa.filters.mel(sr=RATE, n_fft=400, n_mels=bins))
    logarithm = torch.clamp(filters @ power, min=1e-10).log10()
    logarithm = torch.maximum(logarithm, logarithm.max() - 8.0)
    return ((logarithm + 4.0) / 4.0).T.numpy()


def nemo(wave, normalize=True):
    """As FilterbankFeatures of NeMo's released models, without dither and filling."""
    wave = torch.cat([wave[:1], wave[1:] - 0.97 * wave[:-1]])
    window = torch.hann_window(400, periodic=False)
    transform = torch.stft(wave, 512, HOP, 400, window=window, center=True, pad_mode="constant",
                           return_complex=True)
    power = transform.abs() ** 2
    filters = torch.tensor(librosa.filters.mel(sr=RATE, n_fft=512, n_mels=80, fmin=0, fmax=8000))
    logarithm = torch.log(filters @ power + 2.0**-24)[:, : len(wave) // HOP]
    if normalize:
        deviation = logarithm.std(dim=1, keepdim=True) + 1e-5  # of frames - 1 degrees of freedom
        logarithm = (logarithm - logarithm.mean(dim=1, keepdim=True)) / deviation
    return logarithm.T.numpy()


def check(name, ours, theirs):
    difference = float(np.abs(ours - theirs).max())
    print(f"{name}: differs from the independent one by {difference:.1e}", file=sys.stderr)
    assert ours.shape == theirs.shape and difference < 1e-4


wave = torch.tensor(signal(), dtype=torch.float32) / 32768
print("# torch 2.11.0 and librosa 0.11.0, by make_presets.py")
for preset, bins in (("whisper", 80), ("whisper-v3", 128)):
    rows = whisper(wave, bins)
    # Filled to 30 s, as the model wants it: zeros behind the recording.
    filled = torch.zeros(30 * RATE)
    filled[: len(wave)] = wave
    extractor = WhisperFeatureExtractor(feature_size=bins)
    theirs = extractor(wave.numpy(), sampling_rate=RATE, return_tensors="np").input_features[0].T
    check(preset, whisper(filled, bins), theirs)
    print_case(preset, {"preset": preset}, rows)
extractor = knf.OnlineNemoFbank(knf.NemoFbankOptions())
extractor.accept_waveform(RATE, wave.tolist())
extractor.input_finished()
theirs, _ = extractor.get_frames(0, extractor.num_frames_ready, True)
check("nemo", nemo(wave, normalize=False), theirs[: len(wave) // HOP])
print_case("nemo without normalisation", {"preset": "nemo", "normalize": "none"},
           nemo(wave, normalize=False))
print_case("nemo", {"preset": "nemo"}, nemo(wave))
