#!/usr/bin/env bash
# The loader beside PyTorch's DataLoader and lhotse, from recordings to batches of features, and its
# memory for manifests of any size, as a Markdown page.
# Usage: MANIFEST=FILE bench/corpus/run.sh
#   MANIFEST=FILE   of real recordings, FLAC of 16 kHz (`labyrinth prepare an4`, say)
#   VENV=DIR        virtual environment with the peers; made there if it is missing (some GB)
#   OUTPUT=FILE     where the page goes (default: target/bench-corpus/RESULTS.md)
#   ROUNDS=N        rounds (10)
#   SIZES="N…"      made-up manifests ("10000 100000 1000000 10000000"; the last takes 2 GB of disk)
set -euo pipefail
: "${MANIFEST:?set it to a manifest of recordings, FLAC of 16 kHz}"
manifest=$(realpath "$MANIFEST")
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
files=$target/bench-corpus
venv=${VENV:-$files/venv}
mkdir -p "$files"

if ! "$venv/bin/python" -c "import torch, torchaudio, lhotse, soundfile" 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch torchaudio lhotse soundfile
fi
cargo build --release --locked --quiet --package labyrinth-bench-corpus

"$venv/bin/python" bench/corpus/compare.py \
    --binary "$target/release/labyrinth-bench-corpus" --manifest "$manifest" --files "$files" \
    --rounds "${ROUNDS:-10}" --sizes ${SIZES-10000 100000 1000000 10000000} \
    --output "${OUTPUT:-$files/RESULTS.md}"
