"""Reads a folder of shards with the package webdataset and compares samples with the shards' manifests.

Run by hand: pip install webdataset soundfile; python read_webdataset.py SHARDS
Key, text, audio bytes and label tracks of each sample must be those that the manifest tells of, and
soundfile must decode the audio. Last run with webdataset 1.0.2.
"""

import io
import json
import pathlib
import sys

import soundfile
import webdataset

folder = pathlib.Path(sys.argv[1])
for listed in sorted(folder.glob("*.shards.json")):
    name = listed.name.removesuffix(".shards.json")
    shards = [str(folder / shard["file"]) for shard in json.loads(listed.read_text())["shards"]]
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").open(encoding="utf-8")]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False)) if shards else []
    assert len(samples) == len(lines), (len(samples), len(lines))
    seconds = 0.0
    for sample, line in zip(samples, lines):
        key, ending = line["audio_filepath"].split(".", 1)
        before = json.loads(sample["json"])
        assert (sample["__key__"], before["id"], before["text"]) == (key, line["id"], line["text"])
        for path, place in (("audio_filepath", "shard"), ("labels", "labels_shard")):
            if path in line:
                with open(folder / line[place]["file"], "rb") as tar:
                    tar.seek(line[place]["offset"])
                    assert tar.read(line[place]["bytes"]) == sample[line[path].split(".", 1)[1]]
        if "encoding" not in line:
            samples_read, rate = soundfile.read(io.BytesIO(sample[ending]))
            seconds += len(samples_read) / rate
    print(f"{name}: {len(lines)} samples in {len(shards)} shards, {seconds:.1f} s decoded")
