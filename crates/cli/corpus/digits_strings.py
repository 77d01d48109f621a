"""Which digits are said: strings balanced over the ten digits, and where commas stand in them."""

from collections import defaultdict

import numpy as np

from digits_base import WORDS, keyed


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
