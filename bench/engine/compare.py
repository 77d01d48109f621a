"""The engine beside PyTorch: agreement first, then times in turn, as a Markdown page.

Each contender is a child process that stays warm: labyrinth's bench binary, and one PyTorch process
a mode. In a round each gets one turn after the other, so that what the machine does meanwhile meets
all of them. A turn in which other processes used more than a tenth of the cores that it needs is
dropped; on a machine that others use too, `nice -n -20` keeps most turns.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
F32 = "f32"
# Model → (what it is, threads, PyTorch's modes). "fast" is f32 on MKL's AVX-512 path.
CASES = {
    "product": ("2048³ matrix product", 2, ["f32", "fast", "bf16"]),
    "product-1": ("2048³ matrix product", 1, ["f32", "fast", "bf16"]),
    "m1": ("M1, one training step", 2, ["f32", "fast", "channels-last", "bf16"]),
    "m1l": ("M1L (LSTM), one training step", 2, ["f32", "fast", "channels-last", "bf16"]),
    "m2": ("M2 (ResNet-18 to layer 3), forward and backward", 2,
           ["f32", "fast", "channels-last", "bf16", "channels-last+bf16"]),
    "m2-chain": ("M2's 3×3 convolutions, batch norms and ReLUs in a chain, forward and backward", 2,
                 ["f32", "fast", "channels-last", "bf16", "channels-last+bf16"]),
    "m1-inference": ("M1, inference of one utterance of 10 s", 1,
                     ["f32", "fast", "channels-last", "bf16"]),
    "convolutions": ("M1's convolutions, forward and backward", 2,
                     ["f32", "channels-last", "bf16", "channels-last+bf16"]),
    "gru": ("three bidirectional GRU layers, forward and backward", 2, ["f32", "fast", "bf16"]),
    "lstm": ("three bidirectional LSTM layers, forward and backward", 2, ["f32", "fast", "bf16"]),
    "ctc": ("CTC loss and gradient, 16 × 100 × 32, 30 labels", 2, ["f32"]),
}
# Titles of the contenders.
OURS, OURS_BF16 = "**labyrinth f32**", "**labyrinth bf16**"
PEERS = {
    "f32": "PyTorch f32, as installed",
    "fast": "PyTorch f32, MKL's AVX-512 path",
    "channels-last": "PyTorch f32, channels last",
    "bf16": "PyTorch bf16 autocast",
    "channels-last+bf16": "PyTorch bf16 autocast, channels last",
}
# Case → the largest ratio of f32 times that is wanted, and to which of PyTorch's modes: one of them
# (as installed where it did not run), or the fastest of f32.
TARGETS = {
    "m1": [(0.36, "fast"), (0.28, "f32")],
    "m1l": [(0.40, "fast")],
    "m2": [(0.90, "fastest")],
    "m1-inference": [(0.40, "fast")],
    "ctc": [(0.40, "f32")],
}
# On Intel's CPUs PyTorch as installed is on its fast path.
TARGETS_INTEL = {"m1": [(0.45, "f32")]}
MEMORY_TARGET = 0.40
BF16_TARGET = 0.60
TURN_SECONDS = 0.25
DISTURBED = 0.10
TICK = os.sysconf("SC_CLK_TCK")


def model_of(case):
    return case.removesuffix("-1")


def busy_ticks():
    """Ticks that any process, or the machine's host, has used."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return user + nice + system + irq + softirq + steal


def await_quiet(seconds):
    """Waits until a tenth of a second passes in which nobody computes, or until time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = busy_ticks()
        time.sleep(0.1)
        if busy_ticks() - before <= 1:
            return


class Child:
    """A contender."""

    def __init__(self, title, threads, command, environment=None):
        self.title = title
        self.threads = threads
        self.times = []
        self.kept = []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})},
        )
        answer = self.answer()
        self.flop = float(answer[1]) if len(answer) > 1 else 0.0
        self.count = 1

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.title} ended with status {self.process.wait()}")
        return line.split()

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        return float(self.answer()[0])

    def ticks(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def warm_up(self):
        self.ask("go 2")
        self.count = max(1, math.ceil(TURN_SECONDS * 1e3 / self.ask("go 2")))

    def turn(self):
        busy, own, start = busy_ticks(), self.ticks(), time.perf_counter()
        self.times.append(self.ask(f"go {self.count}"))
        ticks = (time.perf_counter() - start) * TICK
        others = (busy_ticks() - busy) - (self.ticks() - own)
        # Cores that a child of one thread leaves free are the others' to use.
        free = max(os.cpu_count() - self.threads, 0) * ticks
        self.kept.append(others <= free + max(DISTURBED * self.threads * ticks, 2))

    def close(self):
        """Ends the child; the KiB it took at its peak above its idle process."""
        memory = self.ask("memory")
        print("quit", file=self.process.stdin, flush=True)
        self.process.stdin.close()
        self.process.wait()
        return memory


def quantile(values, share):
    values = sorted(values)
    return values[round((len(values) - 1) * share)]


def agreement(arguments, case, file):
    model, threads = model_of(case), CASES[case][1]
    subprocess.run(
        [arguments.binary, model, "--threads", str(threads), "--write", file], check=True
    )
    output = subprocess.run(
        [arguments.python, HERE / "peer.py", file, model, F32, str(threads), "--check"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    report = json.loads(output)
    (ours, where), (peer, _), (between, _) = report["ours"], report["peer"], report["between"]
    line = (
        f"| {case} | {report['tensors']} | {ours:.1e} ({where.replace('*', 'recurrent')}) "
        f"| {peer:.1e} | {between:.1e} | "
    )
    return line + (f"{report['loss']:.1e} |" if "loss" in report else "|")


def contenders(arguments, case, file):
    title, threads, modes = CASES[case]
    model = model_of(case)
    ours = [arguments.binary, model, "--threads", str(threads), "--serve"]
    children = [Child(OURS, threads, ours)]
    if arguments.has_bf16:
        try:
            children.append(Child(OURS_BF16, threads, [*ours, "--precision", "bf16"]))
        except RuntimeError as error:
            print(f"no bf16 of ours for {case}: {error}", file=sys.stderr)
    preload = {"LD_PRELOAD": str(arguments.preload)} if arguments.preload else None
    for mode in modes:
        if mode == "fast" and not preload:
            continue
        kind = F32 if mode == "fast" else mode
        command = [arguments.python, HERE / "peer.py", file, model, kind, str(threads)]
        # Only "as installed" means as installed; the other modes get MKL's fast path too.
        environment = None if mode == F32 else preload
        children.append(Child(PEERS[mode], threads, command, environment))
    return children


def measure(arguments, case, file):
    children = contenders(arguments, case, file)
    for child in children:
        child.warm_up()
    for number in range(arguments.rounds * 2):
        # The order changes, so that nobody always runs behind the same neighbour.
        for child in children[number % len(children):] + children[:number % len(children)]:
            time.sleep(0.02)  # until the last one's threads have gone to sleep
            await_quiet(arguments.patience)
            child.turn()
        quiet = min(sum(child.kept) for child in children)
        if number + 1 >= arguments.rounds and quiet >= arguments.rounds:
            break
    rows = []
    for child in children:
        memory = child.close()
        kept = [t for t, keep in zip(child.times, child.kept) if keep]
        # With too few quiet turns all of them speak, and the table says so.
        noisy = len(kept) < 5
        rows.append({
            "title": child.title, "times": child.times if noisy else kept, "noisy": noisy,
            "turns": len(child.times), "all": child.times, "kept": child.kept, "memory": memory,
            "flop": children[0].flop,
        })
    return rows


def table(case, rows, roofs):
    title, threads, _ = CASES[case]
    median = {row["title"]: statistics.median(row["times"]) for row in rows}
    if model_of(case) == "product":
        roofs[threads] = max(
            row["flop"] / median[row["title"]] / 1e6 for row in rows if "bf16" not in row["title"]
        )
    flop = rows[0]["flop"]
    lines = [
        f"### {title} ({threads} thread{'s' * (threads > 1)}"
        + (f", {flop / 1e9:.2f} GFLOP)" if flop else ")"),
        "",
        "| engine | median ms (10–90 %) | turns | labyrinth of its precision / this (10–90 %) "
        "| GFLOP/s | of the roof | memory MiB | labyrinth / this |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours = same_precision(rows, row)
        times, middle = row["times"], median[row["title"]]
        pairs = [
            a / b
            for a, b, keep, keep_too in zip(ours["all"], row["all"], ours["kept"], row["kept"])
            if (keep and keep_too) or ours["noisy"] or row["noisy"]
        ] or [float("nan")]
        ratio = (
            "1" if row is ours else
            f"**{median[ours['title']] / middle:.3f}** "
            f"({quantile(pairs, 0.1):.3f}–{quantile(pairs, 0.9):.3f})"
        )
        speed = flop / middle / 1e6
        roof = f"{speed / roofs[threads] * 100:.0f} %" if flop and threads in roofs else ""
        memory = row["memory"] / 1024
        share = "1" if row is ours else f"{ours['memory'] / max(row['memory'], 1):.2f}"
        turns = f"{len(times)} of {row['turns']}" + (" (all disturbed)" if row["noisy"] else "")
        lines.append(
            f"| {row['title']} | {middle:.2f} ({quantile(times, 0.1):.2f}–{quantile(times, 0.9):.2f}) "
            f"| {turns} | {ratio} | {f'{speed:.0f}' if flop else ''} | {roof} "
            f"| {memory:.0f} | {share} |"
        )
    return "\n".join(lines + ["", *verdicts(case, rows, median)])


def same_precision(rows, row):
    """Our contender to compare a row with: that of its precision, or f32 where we have no other."""
    bf16 = [ours for ours in rows if ours["title"] == OURS_BF16 and "bf16" in row["title"]]
    return (bf16 or rows)[0]


def verdicts(case, rows, median):
    """A line for each target of the case: what was wanted, what came out, whether it is met."""
    peers = {row["title"]: row for row in rows if row["title"] not in (OURS, OURS_BF16)}
    f32 = [title for title in peers if "bf16" not in title]
    wanted = TARGETS | (TARGETS_INTEL if vendor() == "GenuineIntel" else {})
    lines = []

    def add(what, limit, ratio):
        met = "met" if ratio <= limit else f"missed by {ratio - limit:.3f}"
        lines.append(f"- Target: {what} at most {limit:.2f}; found {ratio:.3f}: **{met}**.")

    for limit, mode in wanted.get(case, []):
        title = PEERS.get(mode)
        if mode == "fastest":
            title = min(f32, key=median.get)
        elif title not in peers:
            title = PEERS["f32"]
        add(f"time beside {title}", limit, median[OURS] / median[title])
    if case in wanted:
        # The peer's smallest, so that the mode that happens to take most does not decide.
        title = min(f32, key=lambda title: peers[title]["memory"])
        ratio = rows[0]["memory"] / max(peers[title]["memory"], 1)
        add(f"memory above idle beside {title}", MEMORY_TARGET, ratio)
    if OURS_BF16 in median and case == "m1":
        ratio = median[OURS_BF16] / median[OURS]
        if "amx_bf16" in cpu_info().get("flags", "").split():
            add("our bf16 beside our f32", BF16_TARGET, ratio)
        else:
            lines.append(f"- Our bf16 beside our f32: {ratio:.3f} (no target without AMX).")
    noisy = sum(row["noisy"] for row in rows)
    if lines and noisy:
        lines.append(f"- {noisy} of {len(rows)} contenders had too few quiet turns: no verdict to keep.")
    return lines


def cpu_info():
    with open("/proc/cpuinfo") as info:
        lines = dict(line.split(":", 1) for line in info if ":" in line)
    return {key.strip(): value.strip() for key, value in lines.items()}


def vendor():
    return cpu_info().get("vendor_id", "")


def machine(arguments):
    cpu = cpu_info()
    versions = subprocess.run(
        [arguments.python, "-c",
         "import torch; print(torch.__version__, torch.backends.cpu.get_cpu_capability())"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.strip()
    commit = subprocess.run(
        ["git", "-C", HERE, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    rustc = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    flags = [
        flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        if flag in cpu.get("flags", "").split()
    ]
    return (
        f"CPU {cpu.get('model name')} (family {cpu.get('cpu family')}, model {cpu.get('model')}; "
        f"{', '.join(flags)}), {os.cpu_count()} cores; {rustc}; PyTorch {versions}, "
        f"Python {platform.python_version()}; commit {commit}; `bench/engine/run.sh`. "
        f"A turn is a quarter of a second or one round; turns in which others used more than "
        f"{DISTURBED:.0%} of the cores it needs are dropped."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--python", type=pathlib.Path, required=True)
    parser.add_argument("--preload", type=pathlib.Path, help="library that opens MKL's fast path")
    parser.add_argument("--files", type=pathlib.Path, required=True, help="folder for weights")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--patience", type=float, default=5, help="seconds to wait for quiet")
    parser.add_argument("--output", type=pathlib.Path, help="Markdown page (standard output too)")
    parser.add_argument("models", nargs="*", help=f"of {', '.join(CASES)}; all without")
    arguments = parser.parse_args()
    unknown = set(arguments.models) - set(CASES)
    if unknown:
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    there = subprocess.run(
        [arguments.binary, "list"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()
    usage = subprocess.run(
        [arguments.binary, "--help"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    arguments.has_bf16 = "--precision" in usage
    wanted = arguments.models or list(CASES)
    missing = [case for case in wanted if model_of(case) not in there]
    if missing:
        print(f"left out, since the binary has no such model: {', '.join(missing)}", file=sys.stderr)
    cases = [case for case in wanted if case not in missing]
    page = ["## The engine beside PyTorch", "", machine(arguments), ""]
    arguments.files.mkdir(parents=True, exist_ok=True)
    files = {case: arguments.files / f"{model_of(case)}.safetensors" for case in cases}
    page += [
        "Agreement, as the largest max|a − b| / max|b| over all outputs and gradients of a first "
        "round (beside PyTorch in f64), and the largest relative difference of the losses of the "
        "first five steps. (Our convolutions have a bias and M2's have none in PyTorch: there it is "
        "zero, and its gradient is not compared.)",
        "",
        "| model | tensors | labyrinth, f32 | PyTorch, f32 | between both | losses |",
        "|---|---|---|---|---|---|",
    ]
    page += [agreement(arguments, case, files[case]) for case in cases if "-1" not in case]
    print("\n".join(page), flush=True)
    roofs = {}
    for case in cases:
        page += ["", table(case, measure(arguments, case, files[case]), roofs)]
        print("\n" + page[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
