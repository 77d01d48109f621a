#!/usr/bin/env bash
# The engine beside PyTorch: agreement, times in turn, memory, as a Markdown page.
# Usage: bench/engine/run.sh [MODEL…]
#   VENV=DIR     virtual environment with PyTorch; made there if it is missing (some GB)
#   OUTPUT=FILE  where the page goes (default: target/bench-engine/RESULTS.md)
#   ROUNDS=N     quiet rounds wanted of each model (20)
#   PATIENCE=S   seconds to wait for a quiet machine before each turn (5)
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
files=$target/bench-engine
venv=${VENV:-$files/venv}
mkdir -p "$files"

if ! "$venv/bin/python" -c 'import torch, numpy' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch numpy
fi
cargo build --release --locked --quiet --package labyrinth-bench-engine

# On AMD, MKL leaves its AVX-512 code alone unless this function says that the CPU is Intel's.
preload=()
if grep -q AuthenticAMD /proc/cpuinfo; then
    if command -v gcc >/dev/null; then
        echo 'int mkl_serv_intel_cpu_true(void) { return 1; }' |
            gcc -shared -fPIC -x c -o "$files/mkl_fast_path.so" -
        preload=(--preload "$files/mkl_fast_path.so")
    else
        echo "without gcc there is no figure for MKL's AVX-512 path" >&2
    fi
fi

"$venv/bin/python" bench/engine/compare.py \
    --binary "$target/release/labyrinth-bench-engine" --python "$venv/bin/python" \
    --files "$files" "${preload[@]}" --rounds "${ROUNDS:-20}" \
    --patience "${PATIENCE:-5}" \
    --output "${OUTPUT:-$files/RESULTS.md}" "$@"
