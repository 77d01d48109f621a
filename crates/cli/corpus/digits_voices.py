"""The base voices, and the rule by which they are split into train, dev and test."""

import hashlib

# `counts` are training utterances in a first and a second round over all voices: the second round
# makes the corpus larger and leaves what the first one made as it is.

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
