"""Makes alignments.json: error counts of sentence pairs by jiwer and kaldialign.

    pip install jiwer==4.0.0 kaldialign==0.12.0
    python make_alignments.py > alignments.json

Both find the fewest errors, so their totals agree with each other and must agree with ours. Where
several alignments have the fewest errors, the split of either depends on the order of its search.
kaldialign's is kept beside the totals: it nearly always finds the most equal words, which is the
rule of crates/text/src/align.rs, and can never find more.
"""

import json
import random
from importlib.metadata import version

import jiwer
import kaldialign

SENTENCES = [
    ("turn the lamp on", "turn the lamp on"),
    ("turn the lamp on", "turn a lamp on"),
    ("turn the lamp on", "turn lamp on"),
    ("turn the lamp on", "now turn the lamp on please"),
    ("turn the lamp on", ""),
    ("turn the lamp on", "birds were singing in every tree all morning"),
    ("yes", "no no no no"),
    ("no yes yes no", "yes yes no no"),
    ("a b", "b c"),
    ("a b c", "b c d"),
    ("a a a b", "a b a a"),
    ("nine four two two six", "nine for two to six"),
    ("nine four two two six", "nine four two six"),
    ("nine four two two six", "five nine four four two two six"),
    ("the inner ear keeps us upright", "the inner year keeps as up right"),
    ("we walked down to the harbour", "we walk down the harbour two"),
    ("wir gehen heute früh nach hause", "wir gehen heut früher haus"),
    ("où est la clé", "ou est la clef"),
]


def random_pairs(count):
    """Few different words, so that most pairs have many best alignments."""
    generator = random.Random(3)
    words = ["la", "le", "lu"]
    for _ in range(count):
        yield tuple(
            " ".join(generator.choices(words, k=generator.randint(1, 9))) for _ in range(2)
        )


def kaldi_counts(reference, hypothesis):
    counts = kaldialign.edit_distance(reference, hypothesis)
    return {
        "substitutions": counts["sub"],
        "deletions": counts["del"],
        "insertions": counts["ins"],
        "reference": len(reference),
    }


def case(reference, hypothesis):
    by_words = jiwer.process_words(reference, hypothesis)
    by_characters = jiwer.process_characters(reference, hypothesis)
    return {
        "reference": reference,
        "hypothesis": hypothesis,
        "jiwer_word_errors": by_words.substitutions + by_words.deletions + by_words.insertions,
        "jiwer_character_errors": by_characters.substitutions
        + by_characters.deletions
        + by_characters.insertions,
        "kaldialign_words": kaldi_counts(reference.split(), hypothesis.split()),
        "kaldialign_characters": kaldi_counts(list(reference), list(hypothesis)),
    }


def main():
    cases = [case(*pair) for pair in [*SENTENCES, *random_pairs(100)]]
    versions = {package: version(package) for package in ("jiwer", "kaldialign", "rapidfuzz")}
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    print(f'{{"versions": {json.dumps(versions)},\n "cases": [\n{lines}\n]}}')


main()
