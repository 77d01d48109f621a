"""Writes pth/: small files as PyTorch saves them, for tests/pth.rs, which knows what is in them.

Needs torch (2.15 made those that stand here).
"""

import os
import pathlib

import torch

FOLDER = pathlib.Path(__file__).with_name("pth")


def ramp(*shape, first=0.0):
    """first, first + 0.5, first + 1, … in the order of the shape: exact in every type of float."""
    count = int(torch.tensor(shape).prod()) if shape else 1
    return (torch.arange(count) * 0.5 + first).reshape(shape)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, (2, 3))
        self.norm = torch.nn.BatchNorm2d(2)
        self.gru = torch.nn.GRU(3, 2, bidirectional=True)


net = Net()
with torch.no_grad():
    for place, parameter in enumerate(net.parameters()):
        parameter.copy_(ramp(*parameter.shape, first=float(place)))
torch.save(net.state_dict(), FOLDER / "plain.pth")
torch.save(net.state_dict(), FOLDER / "protocol4.pth", pickle_protocol=4)
torch.save(dict(net.named_parameters()), FOLDER / "parameters.pth")
optimizer = torch.optim.AdamW(net.parameters())
checkpoint = {"epoch": 3, "loss": 0.25, "optimizer": optimizer.state_dict(), "state_dict": net.state_dict()}
torch.save(checkpoint, FOLDER / "checkpoint.pth")

types = {
    "half": ramp(2, 3).half(),
    "bfloat": ramp(2, 3).bfloat16(),
    "double": ramp(2, 3).double(),
    "long": torch.arange(6).reshape(2, 3) - 2,
    "int": torch.arange(6, dtype=torch.int32),
    "byte": torch.arange(6, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "number": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
}
torch.save(types, FOLDER / "types.pth")

whole = ramp(4, 6)
views = {
    "whole": whole,
    "same": whole,
    "turned": whole.t(),
    "rows": whole[1:3],
    "steps": whole[::2, 1::2],
    "one": whole[3, 5],
    "permuted": ramp(2, 3, 4).permute(2, 0, 1),
}
torch.save(views, FOLDER / "views.pth")
torch.save({"spread": torch.tensor([1.0]).expand(1000)}, FOLDER / "expanded.pth")
torch.save(net.state_dict(), FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(net, FOLDER / "module.pth")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch labyrinth-was-here",))


torch.save({"weight": ramp(2), "evil": Evil()}, FOLDER / "code.pth")
