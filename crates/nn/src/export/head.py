import json
import pathlib
import struct
import sys

import numpy
import torch
from torch import nn

@CONSTANTS@

def refuse(sentence):
    """Ends the program with one sentence and status 2."""
    print(" ".join(str(sentence).split()), file=sys.stderr)
    sys.exit(2)


def read_safetensors(path):
    """The tensors of a safetensors file: 8 bytes of a length, JSON of that length, values."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"tensor {name} is of type {entry['dtype']}, and float32 is read here")
        begin, end = (8 + length + place for place in entry["data_offsets"])
        values = numpy.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    return tensors


def side_by_side(x):
    """[batch, channels, frames, bins] → [batch, frames, bins · channels], as the projection reads a frame."""
    return x.permute(0, 2, 3, 1).flatten(2)

