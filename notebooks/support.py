"""What the notebook needs around its story: the program, a place to work, figures and sound in the page."""

import base64
import html
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

# The version of the program for which the notebook was written.
VERSION = "0.1.0"
ROOT = pathlib.Path(__file__).resolve().parent.parent
# Where everything goes that the notebook makes; emptied when it begins anew.
WORK = ROOT / "runs" / "notebook"
INSTALL = "pip install -r notebooks/requirements.txt"


class Stop(Exception):
    """What ends the notebook: one sentence with the way out, and no stack trace."""

    def _render_traceback_(self):
        return [f"Stopped: {self}"]


try:
    import matplotlib
    import numpy as np
    from IPython.display import HTML, display
    from matplotlib import pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap
except ImportError as missing:
    raise Stop(f"the Python package {missing.name} is not here; {INSTALL}") from None


# The program -------------------------------------------------------------------------------------------------


def numbers(version):
    """"0.10.1" as (0, 10, 1), so that versions compare as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def find_program(named=None):
    """The program: the one that is named, the one that cargo built here, or the one on the path."""
    built = ROOT / "target" / "release" / "labyrinth"
    program = named or (built if built.exists() else shutil.which("labyrinth"))
    if program is None:
        raise Stop("there is no program `labyrinth`: build it with `cargo build --release`, or name it as PROGRAM")
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True)
    except OSError as error:
        raise Stop(f"{program} cannot be run ({error.strerror}); build it with `cargo build --release`") from None
    match = re.match(r"labyrinth (\d+\.\d+\.\d+)", told.stdout)
    if match is None:
        raise Stop(f"{program} does not say which version of labyrinth it is; build it with `cargo build --release`")
    if numbers(match[1]) < numbers(VERSION):
        raise Stop(
            f"{program} is labyrinth {match[1]} and the notebook was written for {VERSION}; "
            "build the program of this source with `cargo build --release`"
        )
    return Program(str(program), match[1])


class Program:
    """labyrinth, called with arguments from the repository's root."""

    def __init__(self, path, version):
        self.path, self.version = path, version

    def _words(self, arguments):
        """Arguments as text, paths relative to the repository, from where the program runs."""
        return [os.path.relpath(part, ROOT) if isinstance(part, pathlib.Path) else str(part) for part in arguments]

    def _line(self, words):
        """The command as the page shows it: nobody else has this machine's folders."""
        known = [word if not word.startswith(("../", "/")) else "…/" + os.path.basename(word) for word in words]
        return "labyrinth " + " ".join(f'"{word}"' if " " in word else word for word in known)

    def __call__(self, *arguments, show=False, fine=(0,)):
        """Runs to the end and returns what it printed."""
        words = self._words(arguments)
        done = subprocess.run([self.path, *words], capture_output=True, text=True, cwd=ROOT)
        if done.returncode not in fine:
            raise Stop(f"`{self._line(words)}` ended with status {done.returncode}: {last_line(done.stderr)}")
        if show:
            print("$ " + self._line(words))
            print(done.stdout.rstrip())
        return done.stdout

    def json(self, *arguments):
        """Runs to the end and returns the JSON that it printed."""
        return json.loads(self(*arguments))

    def features(self, recording, *options):
        """Features of a recording: an array [frames, numbers]."""
        place = WORK / "features.npy"
        place.unlink(missing_ok=True)
        self("features", *options, recording, "-o", place)
        return np.load(place)

    def watch(self, *arguments, at_each=None):
        """Runs while its memory is measured; returns what it printed, and seconds and MiB of the samples.

        The memory is what Linux keeps of the process in RAM (VmRSS); elsewhere there are no samples.
        """
        words = self._words(arguments)
        begin, samples = time.monotonic(), []
        with open(WORK / "watched.log", "w+") as log:
            process = subprocess.Popen([self.path, *words], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
            try:
                while process.poll() is None:
                    resident = memory(process.pid)
                    if resident is not None:
                        samples.append((time.monotonic() - begin, resident))
                    if at_each is not None:
                        at_each()
                    time.sleep(0.05)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
            if at_each is not None:
                at_each()
            log.seek(0)
            told = log.read()
        if process.returncode != 0:
            raise Stop(f"`{self._line(words)}` ended with status {process.returncode}: {last_line(told)}")
        return told, np.array(samples).reshape(-1, 2)


def last_line(text):
    """The last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def memory(process):
    """MiB of a process that lie in RAM, or nothing where the system does not tell."""
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else None


# Files -------------------------------------------------------------------------------------------------------


def begin_anew():
    """An empty folder to work in."""
    if WORK.exists():
        shutil.rmtree(WORK)
    WORK.mkdir(parents=True)


def json_lines(path):
    """The objects of a JSON Lines file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def epochs(run):
    """What a training's log says of each epoch."""
    log = run if run.suffix == ".jsonl" else run / "log.jsonl"
    return [line for line in json_lines(log) if line["event"] == "epoch"]


def is_prepared(folder):
    return all((folder / f"{part}.jsonl").exists() for part in ("train", "dev", "test"))


def find_corpus(named=None):
    """Where AN4 lies, prepared or not; nothing where it is not and none was named."""
    place = pathlib.Path(named).absolute() if named else ROOT / "data" / "an4"
    if named and not place.exists():
        raise Stop(f"{named} is not there; name a folder that `labyrinth prepare an4` made, AN4 itself, or nothing")
    return place if named or is_prepared(place) else None


def prepared(lab, folder):
    """A folder with manifests of AN4, made of AN4 itself where it is not one."""
    if not is_prepared(folder):
        lab("prepare", "an4", "--from", str(folder), "-o", WORK / "an4")
        folder = WORK / "an4"
    return folder


class Corpus:
    """Manifests, and where the recordings lie."""

    def __init__(self, folder):
        self.folder = folder
        self.sets = {part: json_lines(folder / f"{part}.jsonl") for part in ("train", "dev", "test")}

    def manifest(self, part):
        return self.folder / f"{part}.jsonl"

    def recording(self, utterance):
        """The place of its sound."""
        return (self.folder / utterance["audio_filepath"]).resolve()

    def minutes(self, part):
        return sum(utterance["duration"] for utterance in self.sets[part]) / 60

    def find(self, part, least, most):
        """The first utterance of a set that lasts so many seconds, or else its longest."""
        for utterance in self.sets[part]:
            if least <= utterance["duration"] <= most:
                return utterance
        return max(self.sets[part], key=lambda utterance: utterance["duration"])


# Figures -----------------------------------------------------------------------------------------------------

# A figure's colours are names of the page's colours, so that it is right by day and by night; elsewhere
# (in Jupyter) the values behind them hold. matplotlib knows no names: these stand for them until it has drawn.
INK, SOFT, TEAL, CORAL, GOLD, VIOLET = (f"#01020{digit}" for digit in range(1, 7))
NAMES = {
    INK: "var(--ink, #6b7680)",
    SOFT: "var(--soft, #9aa5ab)",
    TEAL: "var(--teal, #12897f)",
    CORAL: "var(--coral, #d2644b)",
    GOLD: "var(--gold, #c08a2e)",
    VIOLET: "var(--violet, #8466bd)",
}
COLOURS = [TEAL, CORAL, GOLD, VIOLET]
# Pictures of sound carry their own dark ground: the same by day and by night.
SOUND = LinearSegmentedColormap.from_list("labyrinth", ["#0d1f26", "#12565a", "#3f9a83", "#e0b057", "#fff3d6"])

matplotlib.use("agg")
plt.rcParams.update({
    "figure.figsize": (7.4, 3.0),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "labyrinth",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
})


def show(figure, caption):
    """Puts a figure into the page, as SVG with the page's colours."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for colour, name in NAMES.items():
        svg = svg.replace(colour, name)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(caption)}"', 1)
    display(HTML(f'<figure class="plot">{svg}<figcaption>{html.escape(caption)}</figcaption></figure>'))


def picture(axes, values, extent, **options):
    """An array [frames, numbers] as a picture: time to the right, numbers upwards."""
    options.setdefault("vmin", np.quantile(values, 0.02))
    options.setdefault("vmax", np.quantile(values, 0.998))
    axes.imshow(values.T, origin="lower", aspect="auto", cmap=SOUND, interpolation="none", extent=extent, **options)
    for side in axes.spines.values():
        side.set_visible(False)


def table(head, rows):
    """Puts a table into the page."""
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    display(HTML(f'<div class="table"><table><thead>{row(head, "th")}</thead><tbody>{body}</tbody></table></div>'))


def sound(path, caption):
    """Puts a WAV file into the page, to listen to."""
    data = base64.b64encode(pathlib.Path(path).read_bytes()).decode()
    display(HTML(
        f'<figure class="sound"><figcaption>{html.escape(caption)}</figcaption>'
        f'<audio controls preload="metadata" src="data:audio/wav;base64,{data}"></audio></figure>'
    ))
