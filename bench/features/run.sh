#!/usr/bin/env bash
# Features beside torchaudio, kaldi-native-fbank, librosa and lhotse, and pitch beside Kaldi's own (in
# the wheel of vosk): agreement, then times in turn, as a Markdown page.
# Usage: RECORDINGS=DIR bench/features/run.sh [CASE…]
#   RECORDINGS=DIR  folder with recordings of 16 kHz, FLAC or WAV (AN4, say)
#   VENV=DIR        virtual environment with the peers; made there if it is missing (some GB)
#   OUTPUT=FILE     where the page goes (default: target/bench-features/RESULTS.md)
#   COUNT=N         recordings taken, spread over the folder (40)
#   ROUNDS=N        rounds (20)
set -euo pipefail
: "${RECORDINGS:?set it to a folder with recordings of 16 kHz, FLAC or WAV}"
recordings=$(cd "$RECORDINGS" && pwd)
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
files=$target/bench-features
venv=${VENV:-$files/venv}
mkdir -p "$files"

peers='torch, torchaudio, kaldi_native_fbank, librosa, lhotse, soundfile, vosk'
if ! "$venv/bin/python" -c "import $peers" 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch torchaudio kaldi-native-fbank librosa lhotse soundfile \
        vosk==0.3.45
fi
cargo build --release --locked --quiet --package labyrinth-bench-features

"$venv/bin/python" bench/features/speed.py \
    --binary "$target/release/labyrinth-bench-features" --recordings "$recordings" \
    --files "$files" --count "${COUNT:-40}" --rounds "${ROUNDS:-20}" \
    --output "${OUTPUT:-$files/RESULTS.md}" "$@"
