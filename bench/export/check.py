"""Does an exported model hear in PyTorch what it hears here? Logits and texts of every utterance, side by side.

    labyrinth export MODEL -o torch
    labyrinth features TEST.jsonl --recipe RECIPE -o features --format npy
    labyrinth evaluate MODEL TEST.jsonl -o evaluation.json
    cargo run --release -p labyrinth-decode --example logits -- MODEL logits features/*.npy
    python torch/model.py features/*.npy --logits torch-logits > torch.txt
    python bench/export/check.py evaluation.json torch.txt logits torch-logits

The error is the largest difference over the largest magnitude of an utterance's logits; at most 1e-4 passes.
"""

import json
import pathlib
import sys

import numpy

evaluation, texts, ours, theirs = map(pathlib.Path, sys.argv[1:5])
heard = {}
for line in texts.read_text().splitlines():
    name, _, text = line.partition("\t")
    heard[pathlib.Path(name).stem] = text
here = {u["id"]: u["hypothesis"] for u in json.loads(evaluation.read_text())["score"]["utterances"]}
same = sum(heard.get(name) == text for name, text in here.items())
for name, text in here.items():
    if heard.get(name) != text:
        print(f"{name}: here `{text}`, in PyTorch `{heard.get(name)}`")
worst = 0.0
count = 0
for path in sorted(ours.glob("*.npy")):
    a, b = numpy.load(path), numpy.load(theirs / path.name)
    assert a.shape == b.shape, (path.name, a.shape, b.shape)
    worst = max(worst, float(abs(a - b).max() / abs(a).max()))
    count += 1
print(f"texts: {same} of {len(here)} the same; logits: {count} utterances, largest relative error {worst:.2e}")
sys.exit(0 if same == len(here) and count == len(here) and worst <= 1e-4 else 1)
