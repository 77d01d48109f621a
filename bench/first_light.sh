#!/usr/bin/env bash
# What a newcomer waits for: the cold build, and `quickstart` from three seeds.
# Usage: bench/first_light.sh [OUTPUT_FOLDER]   (prints the table that stands in RESULTS.md)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-$(mktemp -d)}
cargo fetch --locked --quiet
cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
echo "CPU $cpu, $(nproc) cores, $(rustc --version), commit $(git rev-parse --short HEAD)"

crates=$(cargo tree --locked --edges normal,build --prefix none --package labyrinth-asr |
    sed 's/ (\*)$//' | sort -u | grep -vc '^labyrinth-')
start=$(date +%s.%N)
CARGO_TARGET_DIR=$out/target cargo build --release --locked --offline --quiet
end=$(date +%s.%N)
echo "cold build: $(awk "BEGIN { printf \"%.0f\", $end - $start }") s, $crates crates from the registry"

for seed in 1 2 3; do
    start=$(date +%s.%N)
    "$out/target/release/labyrinth" quickstart --seed $seed --run "$out/quickstart-$seed" \
        >"$out/quickstart-$seed.log"
    end=$(date +%s.%N)
    echo "quickstart, seed $seed: $(awk "BEGIN { printf \"%.0f\", $end - $start }") s," \
        "$(sed -n 's/^  all *//p' "$out/quickstart-$seed.log")"
done
