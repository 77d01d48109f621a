"""Writes lookahead.safetensors beside it: PyTorch's row convolution, and its gradients.

    python make_lookahead.py        (needs torch; the stored file was made with 2.15.0)

A row convolution is a convolution over time with as many groups as channels, behind as many zeros as it
looks ahead. Inputs are f32 values; the rest is computed from them in f64 and rounded to f32. The gradients are
those of sum(y * dy). The frames of all utterances stand one after another, channels last.
"""

import json
import pathlib
import struct

import torch
from torch.nn import functional

CHANNELS, AHEAD, LENGTHS = 19, 4, [9, 1, 3, 30]


def main():
    torch.manual_seed(5)
    frames = sum(LENGTHS)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float32)
    x, weight, bias = draw(frames, CHANNELS), draw(CHANNELS, 1, AHEAD + 1), draw(CHANNELS)
    dy = draw(frames, CHANNELS)
    inputs = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    utterances = [
        functional.conv1d(
            functional.pad(utterance.T[None], (0, AHEAD)), *inputs[1:], groups=CHANNELS
        )[0].T
        for utterance in inputs[0].split(LENGTHS)
    ]
    y = torch.cat(utterances)
    (y * dy.double()).sum().backward()
    gradients = dict(zip(("dx", "dweight", "dbias"), (tensor.grad for tensor in inputs)))
    tensors = {"x": x, "weight": weight, "bias": bias, "dy": dy, "y": y, **gradients}
    tensors["lengths"] = torch.tensor(LENGTHS)
    header, data = {}, b""
    for name, tensor in tensors.items():
        values = tensor.detach().to(torch.float32).flatten().tolist()
        piece = struct.pack(f"<{len(values)}f", *values)
        offsets = [len(data), len(data) + len(piece)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        data += piece
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(__file__).with_name("lookahead.safetensors")
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


main()
