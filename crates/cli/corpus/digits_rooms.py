"""Rooms, microphones, noise. All simulated here."""

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from digits_base import RATE, keyed


class Room:
    """A box-shaped room by the image method, with a tail of decaying noise where images thin out."""

    def __init__(self, random, rt60):
        size = np.array([random.uniform(2.5, 8), random.uniform(2.5, 6), random.uniform(2.3, 3.3)])
        source = size * random.uniform(0.2, 0.8, 3)
        microphone = size * random.uniform(0.2, 0.8, 3)
        surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
        # Sabine: rt60 = 0.161 volume / (surface absorption); reflection = sqrt(1 - absorption)
        absorption = min(0.95, 0.161 * size.prod() / (surface * rt60))
        reflection = np.sqrt(1 - absorption)
        order = np.arange(-5, 6)
        n = np.stack(np.meshgrid(order, order, order, indexing="ij"), -1).reshape(-1, 1, 3)
        q = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(1, -1, 3)
        images = (1 - 2 * q) * source + 2 * n * size
        distance = np.linalg.norm(images - microphone, axis=-1).ravel()
        bounces = (np.abs(n - q) + np.abs(n)).sum(-1).ravel()
        length = int(RATE * min(0.6, 1.1 * rt60))
        delay = (distance - distance.min()) / 343 * RATE  # the direct sound comes at once
        keep = delay < length - 1
        gain = (distance.min() / distance * reflection ** bounces)[keep]
        whole = delay[keep].astype(int)
        part = delay[keep] - whole
        response = np.bincount(whole, gain * (1 - part), length + 1)
        response += np.bincount(whole + 1, gain * part, length + 1)
        # the tail takes over after 60 ms, at the level that the images have around there
        start, width = int(0.06 * RATE), int(0.02 * RATE)
        level = np.sqrt(np.mean(response[start - width : start + width] ** 2))
        time = np.arange(length + 1)
        tail = random.normal(size=length + 1) * level * 10 ** (-3 * (time - start) / (rt60 * RATE))
        self.response = np.where(time < start, response, 0.5 * response + tail)

    def apply(self, samples):
        wet = fftconvolve(samples, self.response)[: len(samples) + int(0.15 * RATE)]
        fade = int(0.05 * RATE)
        wet[-fade:] *= np.linspace(1, 0, fade)
        return wet * rms(samples) / rms(wet[: len(samples)])


def rms(samples):
    return float(np.sqrt(np.mean(samples**2)) + 1e-9)


def colour(samples, random):
    """A microphone or a line: the band is narrowed a little and the spectrum tilted."""
    high_pass = butter(2, random.uniform(60, 280), "highpass", fs=RATE, output="sos")
    low_pass = butter(4, random.uniform(3300, 7400), "lowpass", fs=RATE, output="sos")
    slope = random.uniform(-0.4, 0.4)
    tilted = samples + slope * np.concatenate([[0.0], samples[:-1]])
    return sosfilt(low_pass, sosfilt(high_pass, tilted))


def noise(kind, length, random, babblers):
    if kind == "babble":
        # several training voices at once, each from a random place of a random utterance
        mixed = np.zeros(length)
        for _ in range(int(random.integers(4, 8))):
            voice = babblers[int(random.integers(len(babblers)))]
            voice = np.tile(voice / rms(voice), length // len(voice) + 2)
            at = int(random.integers(len(voice) - length))
            mixed += voice[at : at + length]
        return mixed / rms(mixed)
    white = np.fft.rfft(random.normal(size=length))
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / RATE), 30)
    power = {"white": 0.0, "pink": 0.5, "brown": 1.0}[kind]
    shaped = np.fft.irfft(white / frequency**power, length)
    return shaped / rms(shaped)


def place(samples, split, key, babblers):
    """Room, colour, silence around, level and noise. Returns the samples and what was done."""
    random = keyed("place", key)
    train = split == "train"
    done = []
    if random.random() < (0.5 if train else 0.3):
        rt60 = random.uniform(0.15, 0.6) if train else random.uniform(0.15, 0.35)
        samples = Room(random, rt60).apply(samples)
        done.append("room")
    if train and random.random() < 0.3:
        samples = colour(samples, random)
        done.append("colour")
    before, after = (random.uniform(0.05, 0.3, 2) * RATE).astype(int)
    samples = np.concatenate([np.zeros(before), samples, np.zeros(after)])
    level = 10 ** ((random.uniform(-34, -17) if train else random.uniform(-27, -20)) / 20)
    samples = samples / rms(samples) * level
    if random.random() < (0.6 if train else 0.3):
        kind = str(random.choice(["white", "pink", "brown", "babble"], p=[0.2, 0.4, 0.2, 0.2]))
        snr = random.uniform(10, 30) if train else random.uniform(18, 30)
        samples = samples + noise(kind, len(samples), random, babblers) * level * 10 ** (-snr / 20)
        done.append(kind)
    peak = np.abs(samples).max()
    return (samples * (0.9 / peak) if peak > 0.9 else samples), done
