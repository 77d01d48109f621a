"""One model of the engine's bench in PyTorch, as a child process of compare.py.

    peer.py FILE MODEL MODE THREADS          answers `go COUNT`, `memory`, `quit` on standard input
    peer.py FILE MODEL MODE THREADS --check  compares losses and gradients and prints JSON

FILE is what `labyrinth-bench-engine MODEL --write FILE` left: the inputs and weights to begin with,
and our outputs, gradients and losses. MODE holds any of `channels-last`, `bf16`, joined by `+`, or
is `f32`.
"""

import contextlib
import json
import math
import struct
import sys
import time

import torch
from torch import nn
from torch.nn import functional

LABELS = 32
HIDDEN = 256


def read_tensors(path, prefixes):
    """The tensors of a safetensors file whose names begin so; nothing else stays in memory."""
    tensors = {}
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        for name, entry in header.items():
            if name == "__metadata__" or not name.startswith(prefixes):
                continue
            begin, end = entry["data_offsets"]
            file.seek(8 + size + begin)
            values = torch.frombuffer(bytearray(file.read(end - begin)), dtype=torch.float32)
            tensors[name] = values.reshape(entry["shape"])
    return tensors


class Stack(nn.Module):
    """Three bidirectional recurrent layers, time first: PyTorch's own order."""

    def __init__(self, cell, width):
        super().__init__()
        self.recurrent = cell(width, HIDDEN, num_layers=3, bidirectional=True)

    def forward(self, x):
        return self.recurrent(x)[0]


class CnnRecurrent(nn.Module):
    """M1 (GRU) and M1L (LSTM): [batch, 1, frames, bins] to logits [frames / 4, batch, labels]."""

    def __init__(self, cell):
        super().__init__()
        self.convolutions = Convolutions()
        self.projection = nn.Linear(640, HIDDEN)
        self.stack = Stack(cell, HIDDEN)
        self.output = nn.Linear(2 * HIDDEN, LABELS)

    def forward(self, x):
        x = self.convolutions(x)  # [batch, 32, frames / 4, 20]
        x = x.permute(2, 0, 3, 1)  # [frames / 4, batch, 20, 32]
        x = x.reshape(x.shape[0], x.shape[1], 640)
        return self.output(self.stack(self.projection(x)))


class Convolutions(nn.Module):
    """The two convolutions before M1's recurrent layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, stride=2, padding=1)
        self.second = nn.Conv2d(32, 32, 3, stride=2, padding=1)

    def forward(self, x):
        return functional.relu(self.second(functional.relu(self.first(x))))


class Block(nn.Module):
    """The basic residual block (He et al. 2016)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


class ResNet(nn.Module):
    """M2: ResNet-18's stem and layers 1 to 3, with the names its published weights have."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))

    def forward(self, x):
        x = self.pool(functional.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.layer3(self.layer2(self.layer1(x)))


class Chain(nn.Module):
    """The 3×3 convolutions of M2's layers 1 to 3 with batch norm and ReLU, without shortcuts."""

    WIDTHS = [64] * 4 + [128] * 4 + [256] * 4

    def __init__(self):
        super().__init__()
        inputs = 64
        for index, outputs in enumerate(self.WIDTHS):
            stride = 1 if inputs == outputs else 2
            conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
            self.add_module(f"conv_{index}", conv)
            self.add_module(f"norm_{index}", nn.BatchNorm2d(outputs))
            inputs = outputs

    def forward(self, x):
        for index in range(len(self.WIDTHS)):
            x = getattr(self, f"norm_{index}")(getattr(self, f"conv_{index}")(x))
            x = functional.relu(x, inplace=True)
        return x


MODULES = {
    "m1": lambda: CnnRecurrent(nn.GRU),
    "m1-inference": lambda: CnnRecurrent(nn.GRU),
    "m1l": lambda: CnnRecurrent(nn.LSTM),
    "convolutions": Convolutions,
    "gru": lambda: Stack(nn.GRU, HIDDEN),
    "lstm": lambda: Stack(nn.LSTM, HIDDEN),
    "m2": ResNet,
    "m2-chain": Chain,
}


def our_name(name):
    """labyrinth's name of one of PyTorch's parameters."""
    for theirs, ours in [("first.", "conv.0."), ("second.", "conv.1.")]:
        if name.removeprefix("convolutions.").startswith(theirs):
            return ours + name.rsplit(".", 1)[1]
    if "recurrent." in name:
        # weight_ih_l0_reverse → 0.backward.w_ih
        kind, part, layer, *reverse = name.rsplit(".", 1)[1].split("_")
        direction = "backward" if reverse else "forward"
        return f"*.{layer[1:]}.{direction}.{kind[0]}_{part}"
    if name.startswith("layer"):
        # layer2.0.conv1.weight → layer2.0.body.conv1.weight, and the shortcut by its own name
        layer, block, rest = name.split(".", 2)
        branch, inner = ("shortcut", rest.removeprefix("downsample."))
        if inner == rest:
            branch = "body"
        return f"{layer}.{block}.{branch}.{inner}"
    if name.startswith(("conv_", "norm_")):
        return name.replace("_", ".", 1)
    return name


def find(tensors, prefix, name):
    """The tensor of a name in which `*` stands for the kind of cell."""
    if name.startswith("*."):
        for cell in ("gru", "lstm"):
            if f"{prefix}.{cell}{name[1:]}" in tensors:
                return tensors[f"{prefix}.{cell}{name[1:]}"]
    return tensors[f"{prefix}.{name}"]


class Case:
    """A model with its input and task, in a precision and a layout."""

    def __init__(self, path, model, mode, dtype=torch.float32):
        self.name = model
        self.modes = set(mode.split("+"))
        given = read_tensors(path, ("input.", "weight."))
        self.dtype = dtype
        self.module = None
        self.targets = None
        if model == "product":
            self.a, self.b = (given[f"input.{part}"].to(dtype) for part in "ab")
            return
        x = given["input.x"].to(dtype)
        if "input.targets" in given:
            self.targets = given["input.targets"].to(torch.int64)
            batch, length = self.targets.shape
            self.target_lengths = torch.full((batch,), length)
        if model == "ctc":
            self.x = x.transpose(0, 1).contiguous().requires_grad_()  # [frames, batch, labels]
            return
        self.module = MODULES[model]().to(dtype)
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(find(given, "weight", our_name(name)))
        recurrent_only = isinstance(self.module, Stack)
        if recurrent_only:
            x = x.reshape(x.shape[0], x.shape[1], -1).transpose(0, 1).contiguous()
        else:
            x = x.permute(0, 3, 1, 2).contiguous()  # [batch, channels, frames, bins]
            if "channels-last" in self.modes:
                x = x.contiguous(memory_format=torch.channels_last)
                self.module = self.module.to(memory_format=torch.channels_last)
        # M1's features need no gradient; what stands alone passes one on where it would in M1.
        self.x = x.requires_grad_("gradient.x" in header_names(path))
        self.dy = None
        if "input.dy" in given:
            with torch.no_grad():
                shape = self.module(self.x).shape
            if recurrent_only:
                dy = given["input.dy"].reshape(shape[1], shape[0], shape[2]).transpose(0, 1)
            else:
                dy = given["input.dy"].reshape(shape[0], shape[2], shape[3], shape[1])
                dy = dy.permute(0, 3, 1, 2)
            layout = torch.contiguous_format
            if "channels-last" in self.modes:
                layout = torch.channels_last
            self.dy = dy.to(dtype).contiguous(memory_format=layout)
        if model == "m1-inference":
            self.module.eval()
        if self.targets is not None:
            # The same numbers as ADAMW in case.rs.
            self.optimizer = torch.optim.AdamW(
                self.module.parameters(), lr=3e-4, weight_decay=0.01, fused=True
            )

    def autocast(self):
        if "bf16" in self.modes:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def ctc(self, logits):
        frames, batch = logits.shape[:2]
        if logits.dtype == torch.bfloat16:
            logits = logits.float()
        lengths = torch.full((batch,), frames)
        scores = functional.log_softmax(logits, dim=-1)
        return functional.ctc_loss(scores, self.targets, lengths, self.target_lengths)

    def gradients(self):
        """Forward and backward; the loss where there is one, and the output."""
        if self.module is None:
            self.x.grad = None
            loss = self.ctc(self.x)
            loss.backward()
            return loss, self.x
        self.module.zero_grad(set_to_none=True)
        self.x.grad = None
        with self.autocast():
            output = self.module(self.x)
        if self.targets is not None:
            loss = self.ctc(output)
            loss.backward()
            return loss, output
        output.backward(self.dy.to(output.dtype))
        return torch.zeros(()), output

    def round(self):
        if self.name == "product":
            if "bf16" in self.modes:
                return self.a.bfloat16() @ self.b.bfloat16()
            return self.a @ self.b
        if self.name == "m1-inference":
            with torch.inference_mode(), self.autocast():
                return self.module(self.x)
        loss, _ = self.gradients()
        if self.module is not None and self.targets is not None:
            self.optimizer.step()
        return loss

    def results(self):
        """The tensors of a first round under labyrinth's names and in its layouts."""
        if self.name in ("product", "m1-inference"):
            output = self.round()
            if self.name == "m1-inference":
                output = output.transpose(0, 1)
            return {("output.c" if self.name == "product" else "output.y"): output}
        _, output = self.gradients()
        time_first = output.dim() == 3
        order = (1, 0, 2) if time_first else (0, 2, 3, 1)
        results = {}
        if self.module is not None:
            results["output.y"] = output.detach().permute(order)
            for name, parameter in self.module.named_parameters():
                results[f"gradient.{our_name(name)}"] = parameter.grad
        if self.x.grad is not None:
            results["gradient.x"] = self.x.grad.permute(order)
        return results


def header_names(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return set(json.loads(file.read(size)))


def worst(ours, theirs):
    """The largest max|a − b| / max|b| over the tensors, and whose it is."""
    errors = {}
    for name, value in theirs.items():
        prefix, rest = name.split(".", 1)
        mine = find(ours, prefix, rest).flatten().double()
        value = value.detach().reshape(-1).double()
        errors[name] = float((mine - value).abs().max() / value.abs().max())
    name = max(errors, key=errors.get)
    return errors[name], name


def check(path, model, mode):
    """Ours and PyTorch's f32 against PyTorch in f64, and the losses of the first rounds."""
    ours = read_tensors(path, ("output.", "gradient.", "loss"))
    exact = Case(path, model, "f32", torch.float64).results()
    peer = Case(path, model, mode)
    theirs = peer.results()
    report = {
        "tensors": len(exact),
        "ours": worst(ours, exact),
        "peer": worst({name: value.detach() for name, value in theirs.items()}, exact),
        "between": worst(ours, theirs),
    }
    if peer.targets is not None and peer.module is not None:
        peer = Case(path, model, mode)
        losses = [peer.round().item() for _ in ours["loss"]]
        report["losses"] = [losses, ours["loss"].tolist()]
    if peer.module is None and peer.targets is not None:
        report["losses"] = [[peer.round().item()], ours["loss"].tolist()[:1]]
    if "losses" in report:
        pairs = zip(*report["losses"])
        report["loss"] = max(abs(a - b) / abs(a) for a, b in pairs)
        assert math.isfinite(report["loss"])
    print(json.dumps(report))


def resident_kilobytes(what):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(what):
                return int(line.split()[1])
    return 0


def serve(path, model, mode):
    # What a first product loads (MKL's and oneDNN's code, the threads) belongs to the idle process.
    warm = torch.randn(64, 64, requires_grad=True)
    (warm @ warm).sum().backward()
    functional.conv2d(torch.randn(1, 1, 8, 8), torch.randn(1, 1, 3, 3))
    del warm
    idle = resident_kilobytes("VmRSS")
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak begins anew here (proc(5))
    case = Case(path, model, mode)
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, count = line.strip().partition(" ")
        if command == "go":
            start = time.perf_counter()
            for _ in range(int(count)):
                case.round()
            print((time.perf_counter() - start) * 1e3 / int(count), flush=True)
        elif command == "memory":
            print(resident_kilobytes("VmHWM") - idle, flush=True)
        else:
            break


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    path, model, mode, threads = sys.argv[1:5]
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    if sys.argv[5:] == ["--check"]:
        check(path, model, mode)
    else:
        serve(path, model, mode)


if __name__ == "__main__":
    main()
