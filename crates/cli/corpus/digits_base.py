"""What every step of the corpus shares: the seed, the sample rate, the words, and keyed chance."""

import hashlib
import json

import numpy as np

SEED = 20240
RATE = 16000  # samples a second of the corpus
WORDS = "zero one two three four five six seven eight nine".split()


def keyed(*key):
    """A random generator that depends on the seed and the key only."""
    digest = hashlib.sha256(json.dumps([SEED, *key]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
