"""Writes the golden files beside it: PyTorch's values for each operation of labyrinth-kernels.

    python make_golden.py        (needs torch; the stored files were made with 2.15.0)

Inputs are f32 values; outputs and gradients are computed from them in f64 and then rounded to f32,
so that an error measured against a file is ours alone. The gradients are those of Σ y ∘ dy (of the
stated loss where there is one). Layouts are labyrinth's: the frames of all utterances one after
another, channels last. Each file is a safetensors file of f32 tensors; lengths, targets and settings
are stored as f32 numbers too.
"""

import json
import math
import pathlib
import struct

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

HERE = pathlib.Path(__file__).parent
DOUBLE = torch.float64


def save(name, tensors):
    """A safetensors file: length of the header, header, values."""
    header, values, end = {}, [], 0
    for key, tensor in tensors.items():
        tensor = torch.as_tensor(tensor).detach().to(torch.float32).contiguous()
        assert torch.isfinite(tensor).all(), (name, key)
        data = struct.pack(f"<{tensor.numel()}f", *tensor.flatten().tolist())
        header[key] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(data)],
        }
        values.append(data)
        end += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (HERE / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(values))


def random(*shape, scale=1.0):
    """Normal values that f32 holds exactly, as f64."""
    return (torch.randn(*shape) * scale).to(DOUBLE)


def leaf(*shape, scale=1.0):
    return random(*shape, scale=scale).requires_grad_()


def split(x, lengths):
    return torch.split(x, lengths)


RECURRENT_LENGTHS = [7, 3, 11, 1]
INPUT, HIDDEN = 19, 17


def recurrent_inputs(gates):
    """x, dy and for each direction the weights and the state to begin with."""
    rows = sum(RECURRENT_LENGTHS)
    inputs = {"x": leaf(rows, INPUT), "dy": random(rows, 2 * HIDDEN)}
    for direction in ("forward", "backward"):
        inputs[f"{direction}.w_ih"] = leaf(gates * HIDDEN, INPUT, scale=0.3)
        inputs[f"{direction}.w_hh"] = leaf(gates * HIDDEN, HIDDEN, scale=0.3)
        inputs[f"{direction}.b_ih"] = leaf(gates * HIDDEN, scale=0.3)
        inputs[f"{direction}.b_hh"] = leaf(gates * HIDDEN, scale=0.3)
        inputs[f"{direction}.h0"] = leaf(len(RECURRENT_LENGTHS), HIDDEN, scale=0.5)
        if gates == 4:
            inputs[f"{direction}.c0"] = leaf(len(RECURRENT_LENGTHS), HIDDEN, scale=0.5)
    return inputs


def save_with_gradients(name, inputs, outputs):
    tensors = {**inputs, **outputs, "lengths": RECURRENT_LENGTHS}
    for key, value in inputs.items():
        if value.requires_grad:
            tensors[f"gradient.{key}"] = value.grad
    save(name, tensors)


def recurrent(name, cell, gates):
    """A bidirectional layer over packed sequences."""
    inputs = recurrent_inputs(gates)
    module = cell(INPUT, HIDDEN, bidirectional=True).to(DOUBLE)
    # PyTorch's parameters are replaced by ours, so that the gradients arrive there.
    weights = {}
    for direction, suffix in (("forward", "_l0"), ("backward", "_l0_reverse")):
        for ours, theirs in (("w_ih", "weight_ih"), ("w_hh", "weight_hh"),
                             ("b_ih", "bias_ih"), ("b_hh", "bias_hh")):
            weights[theirs + suffix] = inputs[f"{direction}.{ours}"]
    sequences = pad_sequence(split(inputs["x"], RECURRENT_LENGTHS))
    packed = pack_padded_sequence(sequences, RECURRENT_LENGTHS, enforce_sorted=False)
    state = torch.stack([inputs["forward.h0"], inputs["backward.h0"]])
    if gates == 4:
        state = (state, torch.stack([inputs["forward.c0"], inputs["backward.c0"]]))
    output, last = torch.func.functional_call(module, weights, (packed, state))
    padded, _ = pad_packed_sequence(output)
    y = torch.cat([padded[:length, b] for b, length in enumerate(RECURRENT_LENGTHS)])
    (y * inputs["dy"]).sum().backward()
    outputs = {"y": y}
    for index, direction in enumerate(("forward", "backward")):
        if gates == 4:
            outputs[f"{direction}.h_last"] = last[0][index]
            outputs[f"{direction}.c_last"] = last[1][index]
        else:
            outputs[f"{direction}.h_last"] = last[index]
    save_with_gradients(name, inputs, outputs)


def gru_reset_before(name):
    """The first GRU (Cho et al. 2014), step by step: the reset gate acts on the state."""
    inputs = recurrent_inputs(3)
    rows, lasts = [[], []], [[], []]
    for index, direction in enumerate(("forward", "backward")):
        w_ih, w_hh, b_ih, b_hh, h0 = (
            inputs[f"{direction}.{part}"] for part in ("w_ih", "w_hh", "b_ih", "b_hh", "h0")
        )
        for utterance, x in enumerate(split(inputs["x"], RECURRENT_LENGTHS)):
            h, states = h0[utterance], []
            for frame in x.flip(0) if direction == "backward" else x:
                i_r, i_z, i_n = (w_ih @ frame + b_ih).chunk(3)
                w_r, w_z, w_n = w_hh.chunk(3)
                b_r, b_z, b_n = b_hh.chunk(3)
                r = torch.sigmoid(i_r + w_r @ h + b_r)
                z = torch.sigmoid(i_z + w_z @ h + b_z)
                n = torch.tanh(i_n + w_n @ (r * h) + b_n)
                h = (1 - z) * n + z * h
                states.append(h)
            lasts[index].append(h)
            states = torch.stack(states)
            rows[index].append(states.flip(0) if direction == "backward" else states)
    y = torch.cat([torch.cat(part) for part in rows], dim=1)
    (y * inputs["dy"]).sum().backward()
    outputs = {"y": y}
    for index, direction in enumerate(("forward", "backward")):
        outputs[f"{direction}.h_last"] = torch.stack(lasts[index])
    save_with_gradients(name, inputs, outputs)


def linear(name):
    x, weight, bias = leaf(13, 37), leaf(29, 37, scale=0.2), leaf(29)
    dy = random(13, 29)
    y = functional.linear(x, weight, bias)
    (y * dy).sum().backward()
    save(name, {
        "x": x, "weight": weight, "bias": bias, "dy": dy, "y": y,
        "gradient.x": x.grad, "gradient.weight": weight.grad, "gradient.bias": bias.grad,
    })


def over_utterances(x, lengths, operation):
    """The operation on each utterance of [rows, bins, channels] as a picture of its own."""
    rows = []
    for utterance in split(x, lengths):
        image = utterance.permute(2, 0, 1)[None]  # [1, channels, frames, bins]
        rows.append(operation(image)[0].permute(1, 2, 0))
    return torch.cat(rows)


def convolution(name, lengths, bins, channels, kernel, stride, padding):
    """Each utterance by itself; kernel, stride and padding are (time, bins)."""
    inputs, outputs = channels
    x = leaf(sum(lengths), bins, inputs)
    weight = leaf(outputs, inputs, *kernel, scale=1 / math.sqrt(inputs * math.prod(kernel)))
    bias = leaf(outputs)
    y = over_utterances(x, lengths, lambda image: functional.conv2d(
        image, weight, bias, stride=stride, padding=padding
    ))
    dy = random(*y.shape)
    (y * dy).sum().backward()
    save(name, {
        "settings": [inputs, outputs, *kernel, *stride, *padding], "lengths": lengths,
        "x": x, "weight": weight, "bias": bias, "dy": dy, "y": y,
        "gradient.x": x.grad, "gradient.weight": weight.grad, "gradient.bias": bias.grad,
    })


def depthwise(name, lengths, bins, channels, kernel, stride, padding):
    """Each channel by itself: as many groups as channels, with the settings of `convolution`."""
    x = leaf(sum(lengths), bins, channels)
    weight = leaf(channels, 1, *kernel, scale=1 / math.sqrt(math.prod(kernel)))
    bias = leaf(channels)
    y = over_utterances(x, lengths, lambda image: functional.conv2d(
        image, weight, bias, stride=stride, padding=padding, groups=channels
    ))
    dy = random(*y.shape)
    (y * dy).sum().backward()
    save(name, {
        "settings": [channels, *kernel, *stride, *padding], "lengths": lengths,
        "x": x, "weight": weight, "bias": bias, "dy": dy, "y": y,
        "gradient.x": x.grad, "gradient.weight": weight.grad, "gradient.bias": bias.grad,
    })


def pooling(name, lengths, bins, channels, kernel, stride, padding):
    """The maximum, and both averages, of the same x. Its values are coarse, so that some windows hold
    their maximum more than once."""
    values = (random(sum(lengths), bins, channels) * 4).round() / 4
    tensors = {
        "settings": [channels, *kernel, *stride, *padding], "lengths": lengths, "x": values,
    }
    window = {"stride": stride, "padding": padding}
    for kind, operation in [
        ("max", lambda image: functional.max_pool2d(image, kernel, **window)),
        ("average_whole", lambda image: functional.avg_pool2d(image, kernel, **window)),
        ("average_inside", lambda image: functional.avg_pool2d(
            image, kernel, count_include_pad=False, **window
        )),
    ]:
        x = values.clone().requires_grad_()
        y = over_utterances(x, lengths, operation)
        dy = random(*y.shape)
        (y * dy).sum().backward()
        tensors |= {f"{kind}.y": y, f"{kind}.dy": dy, f"{kind}.gradient.x": x.grad}
    save(name, tensors)


def batch_norm(name):
    channels, positions, momentum, epsilon = 7, 23, 0.1, 1e-5
    x, gamma, beta = leaf(positions, channels), leaf(channels), leaf(channels)
    with torch.no_grad():
        x += random(channels)
    mean, variance = random(channels), random(channels).abs()
    before = {"running_mean": mean.clone(), "running_var": variance.clone()}
    y = functional.batch_norm(x, mean, variance, gamma, beta, True, momentum, epsilon)
    dy = random(positions, channels)
    (y * dy).sum().backward()
    save(name, {
        "settings": [momentum, epsilon], **before,
        "x": x, "gamma": gamma, "beta": beta, "dy": dy, "y": y,
        "running_mean_after": mean, "running_var_after": variance,
        "gradient.x": x.grad, "gradient.gamma": gamma.grad, "gradient.beta": beta.grad,
    })


def layer_norm(name):
    dim, rows, epsilon = 33, 9, 1e-5
    x, gamma, beta = leaf(rows, dim), leaf(dim), leaf(dim)
    y = functional.layer_norm(x, (dim,), gamma, beta, epsilon)
    dy = random(rows, dim)
    (y * dy).sum().backward()
    save(name, {
        "settings": [epsilon], "x": x, "gamma": gamma, "beta": beta, "dy": dy, "y": y,
        "gradient.x": x.grad, "gradient.gamma": gamma.grad, "gradient.beta": beta.grad,
    })


def ctc(name):
    """Losses of each utterance; the gradient is that of Σ scale · loss."""
    lengths, labels = [12, 5, 20, 6], 9
    targets = [[1, 2, 2, 3], [4], [8, 8, 8, 1, 5, 7, 2], []]
    scales = random(len(lengths)).abs()
    logits = leaf(sum(lengths), labels, scale=2.0)
    losses = []
    for part, target in zip(split(logits, lengths), targets):
        scores = functional.log_softmax(part, dim=-1)[:, None]
        losses.append(functional.ctc_loss(
            scores, torch.tensor([target], dtype=torch.int64), [len(part)], [len(target)],
            reduction="none",
        )[0])
    losses = torch.stack(losses)
    (losses * scales).sum().backward()
    save(name, {
        "lengths": lengths, "target_lengths": [len(target) for target in targets],
        "targets": sum(targets, []), "scales": scales, "logits": logits, "losses": losses,
        "gradient.logits": logits.grad,
    })


def cross_entropy(name):
    """The mean over all rows."""
    rows, labels = 11, 9
    logits, targets = leaf(rows, labels, scale=2.0), torch.randint(labels, (rows,))
    losses = functional.cross_entropy(logits, targets, reduction="none")
    losses.mean().backward()
    save(name, {
        "logits": logits, "targets": targets, "losses": losses, "gradient.logits": logits.grad,
    })


def optimizer(name, make, settings):
    """Three steps on gradients that are given."""
    parameters = leaf(37)
    steps = make([parameters])
    tensors = {"settings": settings, "parameters": parameters.clone()}
    for step in range(1, 4):
        parameters.grad = random(37)
        tensors[f"gradient.{step}"] = parameters.grad.clone()
        steps.step()
        tensors[f"parameters.{step}"] = parameters.detach().clone()
    save(name, tensors)


def main():
    torch.manual_seed(4)
    torch.set_num_threads(1)
    recurrent("gru_reset_after", nn.GRU, 3)
    recurrent("lstm", nn.LSTM, 4)
    gru_reset_before("gru_reset_before")
    linear("linear")
    convolution("convolution_3x3", [9, 4, 1], 11, (3, 5), (3, 3), (2, 2), (1, 1))
    convolution("convolution_5x5", [7, 5], 9, (4, 6), (5, 5), (1, 1), (2, 2))
    convolution("convolution_7x7", [13, 8], 12, (3, 8), (7, 7), (2, 2), (3, 3))
    convolution("convolution_1x1", [5, 4], 7, (6, 9), (1, 1), (2, 2), (0, 0))
    convolution("convolution_11x41", [15, 6], 45, (2, 3), (11, 41), (2, 2), (5, 20))
    batch_norm("batch_norm")
    layer_norm("layer_norm")
    ctc("ctc")
    cross_entropy("cross_entropy")
    optimizer(
        "adamw",
        lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
        [0.01, 0.9, 0.99, 1e-8, 0.1],
    )
    optimizer(
        "sgd",
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.02),
        [0.05, 0.9, 0.02],
    )
    # New files come last: what stands above keeps its random numbers.
    depthwise("depthwise_3x5", [9, 4, 2], 7, 5, (3, 5), (1, 2), (1, 2))
    depthwise("depthwise_9x1", [12, 5], 1, 19, (9, 1), (1, 1), (4, 0))
    pooling("pooling_3x3", [9, 4, 1], 10, 3, (3, 3), (2, 2), (1, 1))
    pooling("pooling_4x3", [11, 5], 7, 5, (4, 3), (3, 2), (2, 1))


if __name__ == "__main__":
    main()
