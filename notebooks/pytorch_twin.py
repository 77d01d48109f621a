"""The CNN-GRU of a recipe once more, trained by PyTorch on our manifests and our features: the same data, network,
loss, schedule, augmentation and search; only who computes is another. It should end inside the same interval.

    labyrinth prepare an4 --from DIR
    python3 notebooks/pytorch_twin.py --threads 2

What differs: PyTorch's own first weights, order and masks; and its batch norm counts the frames with which shorter
utterances are filled up, of which our network has none. Needs torch and numpy.
"""

import argparse, json, pathlib, resource, subprocess, time, tomllib
import numpy, torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--recipe", type=pathlib.Path, default="recipes/an4.toml")
parser.add_argument("--out", type=pathlib.Path, default="runs/an4-pytorch")
parser.add_argument("--program", default="labyrinth", help="the program labyrinth")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--epochs", type=int, help="fewer than the recipe's, to try")
arguments = parser.parse_args()
torch.manual_seed(arguments.seed)
torch.set_num_threads(arguments.threads)
recipe = tomllib.loads(arguments.recipe.read_text())
model_options, options, masks = recipe["model"], recipe["train"], recipe["train"]["spec-augment"]
epochs, batch_size = arguments.epochs or options["epochs"], options["batch-size"]
folder = arguments.recipe.parent / pathlib.Path(recipe["data"]["train"]).parent


def features(name, speed):
    """The features of a manifest, {id: [frames, bins]}, computed by labyrinth once."""
    out = arguments.out / f"features-{name}-{speed}"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [arguments.program, "features", "--recipe", arguments.recipe, "--speed", str(speed)]
        subprocess.run(command + [folder / f"{name}.jsonl", "-o", out, "--format", "npy"], check=True)
    return {path.stem: torch.from_numpy(numpy.load(path)).float() for path in out.glob("*.npy")}


def manifest(name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").open()]


train, sets = manifest("train"), {name: features(name, 1.0) for name in ("dev", "test")}
spoken = {speed: features("train", speed) for speed in options["speeds"]}
labels = ["", *sorted(set("".join(one["text"].lower() for one in train)))]  # label 0 is the blank


class Model(nn.Module):
    """[batch, frames, bins] and lengths to log probabilities [frames', batch, labels] and lengths'."""

    def __init__(self, bins):
        super().__init__()
        self.convolutions, self.norms, channels = nn.ModuleList(), nn.ModuleList(), 1
        for layer in model_options["convolutions"]:
            (time_size, size), (_, stride) = layer["kernel"], layer["stride"]
            padding = (time_size // 2, size // 2)
            self.convolutions.append(nn.Conv2d(channels, layer["channels"], (time_size, size), layer["stride"], padding))
            self.norms.append(nn.BatchNorm2d(layer["channels"]))
            channels, bins = layer["channels"], (bins + 2 * padding[1] - size) // stride + 1
        self.projection, hidden = nn.Linear(bins * channels, model_options["projection"]), model_options["recurrent-hidden"]
        self.norm, self.dropout = nn.LayerNorm(model_options["projection"]), nn.Dropout(model_options["dropout"])
        widths = [model_options["projection"]] + [2 * hidden] * model_options["recurrent-layers"]
        self.recurrent = nn.ModuleList(nn.GRU(width, hidden, bidirectional=True, batch_first=True) for width in widths[:-1])
        self.output = nn.Linear(2 * hidden, len(labels))

    def forward(self, x, lengths):
        x = x.unsqueeze(1)  # [batch, 1, frames, bins]
        for layer, norm in zip(self.convolutions, self.norms):
            x, stride = torch.relu(norm(layer(x))), layer.stride[0]
            lengths = (lengths + 2 * layer.padding[0] - layer.kernel_size[0]) // stride + 1
            # Behind its end an utterance is silence to the next layer, whatever its mates' lengths.
            x = x * (torch.arange(x.shape[2]) < lengths[:, None])[:, None, :, None]
        x = self.dropout(self.norm(self.projection(x.permute(0, 2, 3, 1).flatten(2))))
        for layer in self.recurrent:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x = self.dropout(nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)[0])
        return self.output(x).log_softmax(2).transpose(0, 1), lengths


def masked(x):
    """SpecAugment with the recipe's masks; those over time cover a fifth at most."""
    x, budget = x.clone(), int(0.2 * len(x))
    for _ in range(masks["freq-masks"]):
        width = int(torch.randint(masks["freq-width"] + 1, ()))
        begin = int(torch.randint(x.shape[1] - width + 1, ()))
        x[:, begin : begin + width] = 0
    for _ in range(masks["time-masks"]):
        width = int(torch.randint(min(masks["time-width"], budget) + 1, ()))
        begin, budget = int(torch.randint(len(x) - width + 1, ())), budget - width
        x[begin : begin + width] = 0
    return x


def padded(some):
    return nn.utils.rnn.pad_sequence(some, batch_first=True), torch.tensor([len(one) for one in some])


def word_error_rate(name):
    """Greedy texts, and what `labyrinth score` says of them."""
    model.eval()
    heard = arguments.out / f"{name}.jsonl"
    with heard.open("w") as file, torch.no_grad():
        for id, x in sets[name].items():
            best = model(*padded([x]))[0][:, 0].argmax(1).unique_consecutive().tolist()
            text = " ".join("".join(labels[label] for label in best).split())
            file.write(json.dumps({"id": id, "text": text}) + "\n")
    command = [arguments.program, "score", folder / f"{name}.jsonl", heard, "--normalize", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


model = Model(next(iter(sets["dev"].values())).shape[1])
decayed = [value for value in model.parameters() if value.dim() > 1]
others = [value for value in model.parameters() if value.dim() == 1]
groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups)
steps = epochs * -(-len(train) // batch_size)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options["learning-rate"], steps, cycle_momentum=False)
loss_of = nn.CTCLoss(zero_infinity=True)  # of each utterance per label, the mean over the batch
print(f"{sum(value.numel() for value in model.parameters()):,} parameters, {steps} steps, {arguments.threads} threads")
start, best, seconds = time.monotonic(), float("inf"), 0.0
for epoch in range(epochs):
    model.train()
    # As our loader does: windows of 16 batches, sorted by length, the batches in any order.
    order, batches = torch.randperm(len(train)).tolist(), []
    for window in range(0, len(order), 16 * batch_size):
        near = sorted(order[window : window + 16 * batch_size], key=lambda index: train[index]["duration"])
        batches += [near[begin : begin + batch_size] for begin in range(0, len(near), batch_size)]
    for place in torch.randperm(len(batches)).tolist():
        some = [train[index] for index in batches[place]]
        speeds = torch.randint(len(options["speeds"]), (len(some),))
        x, lengths = padded([masked(spoken[options["speeds"][speed]][one["id"]]) for one, speed in zip(some, speeds)])
        targets = [torch.tensor([labels.index(letter) for letter in one["text"].lower()]) for one in some]
        y, lengths = model(x, lengths)
        loss = loss_of(y, torch.cat(targets), lengths, torch.tensor([len(target) for target in targets]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    dev = word_error_rate("dev")["wer"]
    print(f"epoch {epoch + 1}/{epochs}  loss {loss.item():.4f}  dev WER {100 * dev:.2f} %  {time.monotonic() - start:.0f} s", flush=True)
    if dev < best:
        best = dev
        torch.save(model.state_dict(), arguments.out / "model.pth")
seconds = time.monotonic() - start
model.load_state_dict(torch.load(arguments.out / "model.pth", weights_only=True))
score, memory = word_error_rate("test"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
low, high = score["wer_interval"]["low"], score["wer_interval"]["high"]
print(f"test WER {100 * score['wer']:.2f} % [{100 * low:.2f}, {100 * high:.2f}], CER {100 * score['cer']:.2f} %")
print(f"{seconds:.0f} s, {memory / 1e6:.0f} MB at most, PyTorch {torch.__version__}, {arguments.threads} threads")
