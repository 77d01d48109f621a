"""Writes the files of features that the tests read: ark, npy and HTK, by other programs.

Needs: pip install kaldi_native_io==1.23.0 kaldiio==2.18.1 numpy==2.4.6
(kaldi_native_io carries Kaldi's own code for reading and writing). Run in this folder.
"""

import os
import struct
import tempfile

import kaldi_native_io as kaldi
import kaldiio
import numpy as np


def matrix(rows, columns):
    """Exact in single precision, different in scale from column to column."""
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return (((i * 37 + j * 101 + i * i * (j + 1) * 7) % 1000 - 500) / 64.0 * (j + 1)).astype("f4")


def written(writer_type, kind, key, *value):
    """The bytes that a writer of kaldi_native_io leaves."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "it")
        with writer_type(f"{kind}:{path}") as writer:
            writer.write(key, *value)
        with open(path, "rb") as file:
            return file.read()


def as_read(data):
    """What Kaldi reads from a matrix."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "it")
        with open(path, "wb") as file:
            file.write(data)
        with kaldi.SequentialFloatMatrixReader(f"ark:{path}") as reader:
            return [np.array(value) for _, value in reader][0]


wide = matrix(20, 5)
entries = [
    written(kaldi.FloatMatrixWriter, "ark", "fm", wide),
    written(kaldi.DoubleMatrixWriter, "ark", "dm", wide.astype("f8") / 3),
    written(kaldi.FloatVectorWriter, "ark", "fv", wide[:, 1].copy()),
    written(kaldi.DoubleVectorWriter, "ark", "dv", wide[:, 1].astype("f8") / 3),
    written(kaldi.FloatMatrixWriter, "ark,t", "text-fm", wide[:3]),
    written(kaldi.FloatVectorWriter, "ark,t", "text-fv", wide[0]),
]
integers = np.round(wide)
method = kaldi.CompressionMethod
compressed = [
    ("automatic-long", wide, method.kAutomaticMethod),
    ("automatic-short", wide[:8], method.kAutomaticMethod),
    ("speech", wide, method.kSpeechFeature),
    ("speech-3-rows", wide[:3], method.kSpeechFeature),
    ("speech-constant", np.full((9, 2), 2.5, "f4"), method.kSpeechFeature),
    ("two-byte", wide, method.kTwoByteAuto),
    ("two-byte-integer", integers, method.kTwoByteSignedInteger),
    ("one-byte", wide, method.kOneByteAuto),
    ("one-byte-integer", np.abs(integers) % 256, method.kOneByteUnsignedInteger),
    ("zero-one", np.abs(wide) / 64, method.kOneByteZeroOne),
]
for name, values, how in compressed:
    data = written(kaldi.CompressedMatrixWriter, "ark", name, values, how)
    entries.append(written(kaldi.FloatMatrixWriter, "ark", name + ".from", values))
    entries.append(data)
    entries.append(written(kaldi.FloatMatrixWriter, "ark", name + ".read", as_read(data)))
with open("kaldi.ark", "wb") as file:
    file.write(b"".join(entries))

kaldiio.save_ark("kaldiio.ark", {"plain": wide, "vector": wide[0]})
for how in (2, 3, 5):
    kaldiio.save_ark("kaldiio.ark", {f"method-{how}": wide}, append=True, compression_method=how)

np.save("f4.npy", wide)
for version in (2, 3):
    with open(f"version{version}.npy", "wb") as file:
        np.lib.format.write_array(file, np.asfortranarray(wide.astype(">f8") / 3), (version, 0))
np.save("samples.npy", np.arange(-3, 9, dtype="<i2"))
np.save("cube.npy", np.asfortranarray(np.arange(24, dtype=">i2").reshape(2, 3, 4)))

header = kaldi.HtkHeader()
header.num_samples, header.sample_period = 20, 100000
header.sample_size, header.sample_kind = 20, 7
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "it")
    with kaldi.HtkMatrixWriter(f"ark:{path}") as writer:
        writer.write("k", (wide, header))
    with open(path, "rb") as file:
        data = file.read()
with open("fbank.htk", "wb") as file:
    file.write(data[2:])  # behind the key and the blank

# Compressed, with a check sum that nobody checks, after the HTK book's definition.
least, greatest = wide.min(axis=0), wide.max(axis=0)
a = 2 * 32767 / (greatest - least)
b = (greatest + least) * 32767 / (greatest - least)
with open("compressed.htk", "wb") as file:
    file.write(struct.pack(">iihH", 20 + 4, 100000, 10, 6 | 0o2000 | 0o10000 | 0o100))
    file.write(a.astype(">f4").tobytes() + b.astype(">f4").tobytes())
    file.write(np.round(a * wide - b).astype(">i2").tobytes() + b"\x12\x34")
