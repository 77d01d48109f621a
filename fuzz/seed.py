"""Fills corpus/ with seeds from the tests' own fixtures, cut to what a fuzzer can chew.

Needs nothing but Python; run in this folder. What a fuzzer found later stays beside them.
"""

import pathlib
import zipfile

TESTS = pathlib.Path("../crates/signal/tests")
LONGEST = 12_000


def seed(target, name, data):
    folder = pathlib.Path("corpus", target)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data[:LONGEST])


fixtures = [path for path in (TESTS / "fixtures").iterdir() if path.suffix != ".py"]
for path in sorted(fixtures):
    data = path.read_bytes()
    if path.suffix == ".wav":
        seed("wav", path.name, data[:3000])
    elif path.suffix == ".sph":
        seed("sphere", path.name, data[:3000])
    seed("decode_audio", path.name, data)
golden = TESTS / "golden"
for path in sorted(golden.iterdir()):
    if path.suffix == ".ark":
        seed("ark", path.name, path.read_bytes())
    elif path.suffix in (".npy", ".htk"):
        seed(path.suffix[1:], path.name, path.read_bytes())
for name, data in {
    "matrix.txt": b"a  [\n  1 2 \n  3.5 -4e3 ]\nb [ ]\n",
    "vector.txt": b"key [ 1 2 3 ]\n",
    "integers": b"key \0B\4\2\0\0\0\1\0\0\0",
    "small": b"k \0BFM \4\1\0\0\0\4\1\0\0\0\0\0\x80?",
    "small-vector": b"k \0BDV \4\1\0\0\0\0\0\0\0\0\0\xf0?",
    "small-cm": b"k \0BCM \0\0\0\0\0\0\x80?\1\0\0\0\1\0\0\0\0\0\1\0\2\0\3\0\x40",
    "small-cm2": b"k \0BCM2 \0\0\0\0\0\0\x80?\1\0\0\0\1\0\0\0\0\1",
    "small-cm3": b"k \0BCM3 \0\0\0\0\0\0\x80?\1\0\0\0\1\0\0\0\7",
}.items():
    seed("ark", name, data)
for name, data in {
    "offset": b"a some/file.ark:1234\nb file.ark:7[0:10]\nc x.ark[1:2,3:4]\n",
    "command": b"a gunzip -c x.gz |\n",
    "whole": b"a cmvn.stats\n\nb\tx y.mat \n",
}.items():
    seed("scp", name, data)
HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
for name, data in {
    "header": HEADER,
    "columns": HEADER.replace(b"False", b"True").replace(b"<f4", b">i2"),
    "doubles": HEADER.replace(b"<f4", b"<f8").replace(b"(3, 4)", b"(6,)"),
}.items():
    seed("npy", name, data)
# The first byte is the number of the format.
for name, data in {
    "audacity": b"\0" b"0.5\t1.25\tone\n1.25\t1.25\tclick\n",
    "audacity-frequencies": b"\0" b"0,5\t1,25\tone\n\\\t100.0\t900.0\n",
    "ctm": b"\1" b";; remark\na 1 0.50 0.30 one 0.9\na 1 0.80 0.20 two\n",
    "textgrid": b"\2" b'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1.5\n<exists>\n2\n'
    b'"IntervalTier"\n"words"\n0\n1.5\n2\n0\n0.5\n""\n0.5\n1.5\n"one ""two"""\n'
    b'"TextTier"\n"clicks"\n0\n1.5\n1\n0.7\n"x"\n',
    "textgrid-long": b"\2" b'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\n'
    b'tiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n        class = "IntervalTier"\n'
    b'        name = "words"\n        xmin = 0\n        xmax = 1\n        intervals: size = 1\n'
    b'        intervals [1]:\n            xmin = 0\n            xmax = 1\n            text = "one"\n',
    "phones": b"\3" b"0 1600 h#\n1600 3200 sh\n",
    "words": b"\4" b"0 1600 she\n1500 3200 had\n",
    "srt": b"\5" b"1\n00:00:00,500 --> 00:00:01,250\none\ntwo\n\n2\n00:00:02,000 --> 00:00:03,000\nthree\n",
}.items():
    seed("labels", name, data)

saved = pathlib.Path("../crates/nn/tests/golden/pth")
for path in sorted(saved.iterdir()):
    seed("pth", path.name, path.read_bytes())
    if path.name != "legacy.pth":
        # The pickle alone, which the target puts into an archive of its own.
        with zipfile.ZipFile(path) as archive:
            seed("pth", path.stem + ".pkl", archive.read(path.stem + "/data.pkl"))
