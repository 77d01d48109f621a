"""Writes the golden files beside it: PyTorch's and torchvision's values for whole models of labyrinth-nn.

    python make_golden.py [resnet18_stem_to_layer3_folded.safetensors]

needs torch, torchvision, numpy and safetensors; the stored files were made with torch 2.15.0 and torchvision
0.29.2. Without the argument the file of the pretrained network is left as it is.

Everything is computed in f64 from f32 weights and inputs, so that an error measured against a file is ours
alone. Weights and inputs are no part of the files: both sides make them by the rule of `pattern`, from a tensor's
name and a value's place. A file holds the logits of a pass in training mode over several utterances (batch norm
over all their frames and no padding), and of the gradient of each tensor its norm, its product with a pattern,
and all of it where it is small. The loss is Σ logits ∘ pattern. The model's options stand in the metadata, as
labyrinth's recipes have them.
"""

import json
import pathlib
import sys

import numpy
import torch
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional
from torchvision.models import resnet

HERE = pathlib.Path(__file__).parent
torch.set_default_dtype(torch.float64)
LABELS = 7
SMALL = 300
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def pattern(name, count):
    """`count` f32 values from -1 to 1, by the FNV-1a hash of the name and MurmurHash3's last steps."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = numpy.uint32(seed) ^ (numpy.arange(count, dtype=numpy.uint64) * 2654435761 % 2**32).astype(numpy.uint32)
    with numpy.errstate(over="ignore"):
        x ^= x >> 16
        x *= numpy.uint32(0x85EBCA6B)
        x ^= x >> 13
        x *= numpy.uint32(0xC2B2AE35)
        x ^= x >> 16
    values = x.astype(numpy.float64) / 2**31 - 1
    return torch.from_numpy(values.astype(numpy.float32).astype(numpy.float64))


def first_values(name, shape):
    """A weight as both sides begin: gains around 1, biases around 0, matrices so that sizes stay."""
    values = pattern(name, int(numpy.prod(shape))).view(*shape)
    if len(shape) > 1:
        scale = (3 / numpy.prod(shape[1:])) ** 0.5
        values = values * scale
    elif name.endswith(".weight"):
        values = 1 + 0.2 * values
    else:
        values = 0.1 * values
    return values.to(torch.float32).to(torch.float64)


def ours(name):
    """labyrinth's name of one of torchvision's tensors."""
    parts = name.split(".")
    if parts[0].startswith("layer"):
        parts.insert(2, "shortcut" if parts[2] == "downsample" else "body")
    return ".".join(parts)


def run(module, pictures):
    """A part of torchvision's network on pictures of several sizes, [channels, time, bins] each: batch norm sees
    the places of all of them, everything else one picture."""
    if isinstance(module, nn.BatchNorm2d):
        rows = torch.cat([p.flatten(1).T for p in pictures])
        normal = functional.batch_norm(rows, None, None, module.weight, module.bias, True, eps=module.eps)
        split = torch.split(normal, [p[0].numel() for p in pictures])
        return [rows.T.view_as(p) for rows, p in zip(split, pictures)]
    if isinstance(module, nn.Sequential):
        for part in module:
            pictures = run(part, pictures)
        return pictures
    if isinstance(module, (resnet.BasicBlock, resnet.Bottleneck)):
        beside = run(module.downsample, pictures) if module.downsample is not None else pictures
        body = pictures
        for index in (1, 2, 3):
            if not hasattr(module, f"conv{index}"):
                break
            body = pictures if index == 1 else [p.relu() for p in body]
            body = run(getattr(module, f"bn{index}"), run(getattr(module, f"conv{index}"), body))
        return [(a + b).relu() for a, b in zip(body, beside)]
    if isinstance(module, nn.ReLU):
        return [p.relu() for p in pictures]
    return [module(p[None])[0] for p in pictures]


def trunk(options):
    """torchvision's layers up to the cut, by name, with the options' strides over time and without what is folded."""
    depth, width = options["depth"], options["width"]
    block = resnet.Bottleneck if depth == 50 else resnet.BasicBlock
    counts = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}[depth]
    network = resnet.ResNet(block, counts)
    network.inplanes = width
    network.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
    network.bn1 = nn.BatchNorm2d(width)
    for index in range(4):
        stage = network._make_layer(block, width << index, counts[index], stride=1 if index == 0 else 2)
        setattr(network, f"layer{index + 1}", stage)
    stem, pool, *later = options["time-strides"]
    network.conv1.stride = (stem, 2)
    network.maxpool.stride = (pool, 2)
    for stage, stride in zip((network.layer2, network.layer3, network.layer4), later):
        first = stage[0]
        strided = first.conv2 if depth == 50 else first.conv1
        assert strided.stride == first.downsample[0].stride == (2, 2)
        strided.stride = first.downsample[0].stride = (stride, 2)
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    last = "maxpool" if options["cut"] == "stem" else options["cut"]
    parts = nn.Sequential()
    for name in names[: names.index(last) + 1]:
        parts.add_module(name, getattr(network, name))
    # What it computes is torchvision's own forward pass.
    picture = torch.randn(3, 21, 24)
    whole = picture[None]
    for part in parts:
        whole = part(whole)
    assert torch.allclose(run(parts, [picture])[0], whole[0])
    if options["norm"] == "folded":
        fold(parts)
    return parts


def fold(module):
    """Batch norms become nothing, convolutions get a bias."""
    for name, part in list(module.named_children()):
        if isinstance(part, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        elif isinstance(part, nn.Conv2d):
            part.bias = nn.Parameter(torch.zeros(part.out_channels))
        else:
            fold(part)


def convolutions(options):
    """The convolutions of cnn-gru and cnn-lstm."""
    parts, channels = nn.Sequential(), 1
    for index, convolution in enumerate(options["convolutions"]):
        size = convolution["kernel"]
        layer = nn.Conv2d(channels, convolution["channels"], size, convolution["stride"], [n // 2 for n in size])
        channels = convolution["channels"]
        parts.add_module(f"conv.{index}".replace(".", "_"), layer)
        parts.add_module(f"norm.{index}".replace(".", "_"), nn.BatchNorm2d(channels))
        parts.add_module(f"relu.{index}".replace(".", "_"), nn.ReLU())
    return parts


def picture_of(options, frames):
    """Frames of features, [frames, dim], as a picture [3, frames, bins]."""
    colours = [frames] * 3 if options["colours"] == "repeat" else torch.chunk(frames, 3, dim=1)
    picture = torch.stack(list(colours))
    if options["pixels"] == "moments":
        pixels = MEAN + DEVIATION * picture
    else:
        pixels = (0.5 + picture / 6).clamp(0, 1)
    return (pixels - MEAN) / DEVIATION


def recurrent(options, width):
    """Everything behind the picture, with labyrinth's names."""
    parts, names = nn.ModuleDict(), {}
    parts["projection"] = nn.Linear(width, options["projection"])
    parts["projection_norm"] = nn.LayerNorm(options["projection"])
    kind = options["architecture"].split("-")[1]
    layer = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
    hidden, both = options["recurrent-hidden"], options["bidirectional"]
    width = options["projection"]
    for index in range(options["recurrent-layers"]):
        parts[f"{kind}{index}"] = layer(width, hidden, bidirectional=both)
        for direction, suffix in [("forward", ""), ("backward", "_reverse")][: 1 + both]:
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                short = part.replace("weight", "w").replace("bias", "b")
                names[f"{kind}{index}.{part}_l0{suffix}"] = f"{kind}.{index}.{direction}.{short}"
        width = hidden * (1 + both)
    parts["output"] = nn.Linear(width, LABELS)
    for name, _ in parts.named_parameters():
        names.setdefault(name, name)
    return parts, names, kind


def make(name, options, lengths, dim):
    is_resnet = options["architecture"].startswith("resnet")
    frames = torch.split(pattern("features", sum(lengths) * dim).view(-1, dim) * 1.75, lengths)
    frames = [part.to(torch.float32).to(torch.float64) for part in frames]
    if is_resnet:
        first = trunk(options)
        pictures = [picture_of(options, part) for part in frames]
        named = {ours(key): value for key, value in first.named_parameters()}
    else:
        first = convolutions(options)
        pictures = [part[None] for part in frames]
        named = {key.replace("_", ".", 1): value for key, value in first.named_parameters()}
    with torch.no_grad():
        for key, value in named.items():
            value.copy_(first_values(key, value.shape))
    pictures = run(first, pictures)
    # [channels, time, bins] → [time, bins, channels]
    rows = [p.permute(1, 2, 0) for p in pictures]
    rows = [r.mean(1) if is_resnet and options["height"] == "mean" else r.flatten(1) for r in rows]
    rest, names, kind = recurrent(options, rows[0].shape[1])
    with torch.no_grad():
        for key, value in rest.named_parameters():
            value.copy_(first_values(names[key], value.shape))
            named[names[key]] = value
    logits = []
    for row in rows:
        row = rest["projection_norm"](rest["projection"](row))
        for index in range(options["recurrent-layers"]):
            row = rest[f"{kind}{index}"](row)[0]
        logits.append(rest["output"](row))
    lengths_out = [len(part) for part in logits]
    logits = torch.cat(logits)
    (logits * pattern("loss", logits.numel()).view_as(logits)).sum().backward()
    tensors = {"lengths": torch.tensor(lengths), "lengths-out": torch.tensor(lengths_out), "logits": logits}
    for key, value in named.items():
        gradient = value.grad.flatten()
        product = (gradient * pattern(f"product {key}", gradient.numel())).sum()
        tensors[f"sums {key}"] = torch.stack([gradient.norm(), product])
        if gradient.numel() <= SMALL:
            tensors[f"gradient {key}"] = gradient
    save(name, tensors, {"model": json.dumps(options), "dim": str(dim), "labels": str(LABELS)})


def save(name, tensors, metadata):
    tensors = {key: value.detach().numpy().astype(numpy.float32) for key, value in tensors.items()}
    assert all(numpy.isfinite(value).all() for value in tensors.values()), name
    path = HERE / f"{name}.safetensors"
    save_file(tensors, path, metadata)
    print(path.name, path.stat().st_size)


def pretrained(weights):
    """What the pretrained network makes of a known picture, behind each stage: every 7th value."""
    weights = {key: torch.from_numpy(value).to(torch.float64) for key, value in load_file(weights).items()}
    frames, bins = 45, 40
    # Waves in time and frequency, another for each colour.
    time, place = torch.arange(frames).view(-1, 1), torch.arange(bins).view(1, -1)
    groups = [torch.sin(0.21 * (c + 1) * time) + torch.cos(0.13 * (c + 1) * place + 0.05 * time) for c in range(3)]
    features = torch.cat(groups, dim=1).to(torch.float32)
    tensors = {"features": features, "lengths": torch.tensor([frames])}
    for strides in ([2, 2, 1, 1, 1], [1, 1, 2, 2, 1]):
        options = {"depth": 18, "width": 64, "time-strides": strides, "cut": "layer3", "norm": "folded"}
        parts = trunk(options)
        parts.load_state_dict(weights)
        picture = picture_of({"colours": "deltas", "pixels": "three-sigma"}, features.to(torch.float64))[None]
        for name, part in parts.named_children():
            picture = part(picture)
            stage = {"maxpool": "stem"}.get(name, name)
            if stage == "stem" or stage.startswith("layer"):
                values = picture[0].permute(1, 2, 0)
                prefix = f"{stage} {''.join(map(str, strides))}"
                tensors[f"{prefix} shape"] = torch.tensor(values.shape)
                tensors[f"{prefix} values"] = values.flatten()[::7]
    save("pretrained", tensors, {})


def main():
    torch.manual_seed(1)
    recurrent_part = {"projection": 10, "recurrent-layers": 2, "recurrent-hidden": 6, "dropout": 0.0}
    two = [{"channels": 5, "kernel": [3, 3], "stride": [2, 2]}, {"channels": 4, "kernel": [5, 3], "stride": [1, 2]}]
    for architecture, both in [("cnn-gru", True), ("cnn-lstm", False)]:
        options = {"architecture": architecture, "convolutions": two, "bidirectional": both, **recurrent_part}
        make(architecture, options, [17, 9, 30], 14)
    common = {"width": 64, "time-strides": [2, 2, 1, 1, 1], "colours": "repeat", "pixels": "moments",
              "height": "mean", "bidirectional": True, **recurrent_part}
    models = {
        # The whole of ResNet-18.
        "resnet-gru-18": {"depth": 18, "cut": "layer4", "norm": "batch"},
        "resnet-gru-18-folded": {"depth": 18, "cut": "layer3", "norm": "folded", "height": "flatten",
                                 "colours": "deltas", "pixels": "three-sigma", "time-strides": [1, 2, 2, 1, 1]},
        "resnet-gru-34": {"depth": 34, "cut": "layer3", "norm": "batch", "width": 8},
        "resnet-lstm-50": {"depth": 50, "cut": "layer2", "norm": "batch", "width": 8,
                           "architecture": "resnet-lstm", "time-strides": [1, 2, 2, 1, 1]},
        "resnet-lstm-50-folded": {"depth": 50, "cut": "layer4", "norm": "folded", "width": 4,
                                  "architecture": "resnet-lstm", "time-strides": [1, 1, 1, 2, 2]},
        "resnet-gru-stem": {"depth": 18, "cut": "stem", "norm": "batch", "width": 6},
    }
    for name, options in models.items():
        options = {"architecture": "resnet-gru", **common, **options}
        make(name, options, [37, 11, 50], 72 if options["colours"] == "deltas" else 24)
    if len(sys.argv) > 1:
        pretrained(sys.argv[1])


main()
