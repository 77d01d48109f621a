"""Makes g711.txt: which 16-bit samples each G.711 code stands for, and what it expands to.

Needs a Python that has audioop (up to 3.12): `python3.11 make_g711.py > g711.txt`.
A line: law, code, least and greatest sample that are coded so, the sample it expands to. A code that
no sample reaches (u-law's negative zero) has an empty range.
"""

import struct
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
import audioop  # noqa: E402

print("# law code least greatest expanded; made by make_g711.py")
samples = list(range(-32768, 32768))
pcm = struct.pack("<65536h", *samples)
for law, compress, expand in (
    ("ulaw", audioop.lin2ulaw, audioop.ulaw2lin),
    ("alaw", audioop.lin2alaw, audioop.alaw2lin),
):
    codes = compress(pcm, 2)
    for code in range(256):
        meant = [sample for sample, found in zip(samples, codes) if found == code]
        least, greatest = (meant[0], meant[-1]) if meant else (0, -1)
        assert len(meant) == greatest - least + 1, "a code's samples are one range"
        (expanded,) = struct.unpack("<h", expand(bytes([code]), 2))
        print(law, code, least, greatest, expanded)
