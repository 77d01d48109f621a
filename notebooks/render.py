"""Runs the notebook from top to bottom and writes docs/index.html, and the pages beside it.

    python notebooks/render.py                 on AN4 where data/an4 is there, else on the digits in the program
    python notebooks/render.py --an4 DIR       DIR: what `labyrinth prepare an4` made, or AN4 itself
    python notebooks/render.py --again         renders what the last run computed, with a changed look
    python notebooks/render.py --pages         the pages of results, benchmarks and studies alone, at once
"""

import argparse
import html
import os
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
DOCS = ROOT / "docs"
LINKS = [
    ("book/index.html", "The book"),
    ("studies/index.html", "Studies"),
    ("results.html", "Results"),
    ("benchmarks.html", "Benchmarks"),
    ("readme.html", "Read me"),
]
# What the last run computed.
EXECUTED = ROOT / "runs" / "notebook" / "executed.ipynb"
LEAD = "Train a speech recogniser and run it, on a laptop's CPU, and know why each step is there."
# Pages of the repository that are pages of the site too.
PAGES = [("README.md", "readme.html"), ("recipes/RESULTS.md", "results.html"), ("bench/RESULTS.md", "benchmarks.html")]


def stop(sentence):
    """Ends with one sentence and status 2."""
    print(f"render.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def arguments():
    parser = argparse.ArgumentParser(description="Runs the notebook and writes docs/index.html.")
    parser.add_argument("--an4", metavar="DIR", help="a folder that `labyrinth prepare an4` made, or AN4 itself")
    parser.add_argument("--embedded", action="store_true", help="the digits in the program, even where AN4 is there")
    parser.add_argument("--program", metavar="FILE", help="the program; target/release/labyrinth or the path's if not named")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything, to see that all of it runs")
    parser.add_argument("--again", action="store_true", help="renders what the last run computed, and runs nothing")
    parser.add_argument("--pages", action="store_true", help="only the pages of results, benchmarks and studies")
    parser.add_argument("-o", "--out", metavar="FILE", default=DOCS / "index.html", type=pathlib.Path)
    return parser.parse_args()


def packages():
    """What the page needs, or a sentence that says how to get it."""
    try:
        import ipykernel, matplotlib, mistune, nbclient, nbconvert, nbformat, numpy  # noqa: E401, F401
    except ImportError as missing:
        stop(f"the Python package {missing.name} is not here; pip install -r notebooks/requirements.txt")


def front(up, title, lead, contents="", made=""):
    """Everything above the text; `up` is the way to docs/."""
    from ornament import ornament

    links = "".join(f'<a href="{up}{place}">{name}</a>' for place, name in LINKS)
    style = (HERE / "theme" / "style.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header class="front"><div class="front-inner"><div><h1><a href="{up}index.html">labyrinth</a></h1>'
        f'<p class="lead">{lead}</p><nav class="site">{links}</nav>{made}</div>{ornament()}</div></header>\n{contents}'
    )


def back():
    return (
        "\n<footer><div>The labyrinth is the organ of balance in the inner ear. It is older than hearing: the cochlea grew out of "
        "it, and an animal that felt itself move began to listen. In the picture the marks stand where the cochlea hears each "
        "frequency (Greenwood 1990).</div></footer>\n</body>\n</html>\n"
    )


def no_requests(page, name):
    """A page may link elsewhere, but ask nothing of a network to be shown, and name no folder of this machine."""
    loads = re.findall(r"""(?:\bsrc|\bsrcset|<link[^>]*\bhref|\bdata)\s*=\s*["']?\s*((?:https?:)?//[^"'\s>]+)""", page)
    # (Relative ways that leave the repository name folders of this machine too.)
    if re.search(r"(?:\.\./){4}", page):
        stop(f"{name} names a folder beyond the repository; nothing was written")
    loads += re.findall(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"'\s)]+)""", page)
    if loads or "<script" in page:
        stop(f"{name} would ask a network for {loads or 'a script'}; nothing was written")
    for folder in {str(ROOT), str(pathlib.Path.home())} - {"/"}:
        if re.search(re.escape(folder) + r"\b", page):
            stop(f"{name} names a folder of this machine; nothing was written")


def write(path, page):
    no_requests(page, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    print(f"{os.path.relpath(path)}: {path.stat().st_size / 1e6:.2f} MB")


# The pages beside the notebook -------------------------------------------------------------------------------


def page_of(source, target, up):
    """A Markdown page of the repository as a page of the site."""
    import mistune

    text = source.read_text(encoding="utf-8")
    body = mistune.create_markdown(plugins=["table"], escape=False)(text)

    def link(match):
        place = match[2]
        if re.match(r"[a-z]+:|#|/", place):
            return match[0]
        place, hash_, part = place.partition("#")
        goal = (source.parent / place).resolve()
        known = {ROOT / name: DOCS / page for name, page in PAGES}
        return f'{match[1]}="{os.path.relpath(known.get(goal, goal), target.parent)}{hash_}{part}"'

    body = re.sub(r'\b(href|src)="([^"]*)"', link, body)
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    title = re.search(r"^# (.*)", text, flags=re.M)
    title = title[1] if title else source.stem
    write(target, front(up, title if title == "labyrinth" else f"{title} · labyrinth", LEAD) + f'<main class="page">{body}</main>' + back())
    return title


def pages():
    """Results, benchmarks and studies, from what is committed."""
    import tomllib

    for name, page in PAGES:
        page_of(ROOT / name, DOCS / page, "")
    items = []
    for path in sorted((DOCS / "studies").glob("*/study.toml")):
        folder = path.parent
        study = tomllib.loads(path.read_text())
        name, question = html.escape(study["title"]), html.escape(study["question"])
        if (folder / "README.md").exists():
            page_of(folder / "README.md", folder / "index.html", "../../")
            name, answer = f'<a href="{folder.name}/index.html">{name}</a>', html.escape(study.get("answer", "see its table"))
        else:
            answer = "not yet measured"
        items.append(f"<dt>{name}</dt><dd><em>{question}</em><br>{answer}</dd>")
    text = f'<dl class="answers">{"".join(items)}</dl>' if items else "<p>No study has been measured yet.</p>"
    words = "<h2>Studies</h2><p>Each is a grid of trainings with several seeds, run by <code>labyrinth study</code>.</p>"
    write(DOCS / "studies" / "index.html", front("../", "Studies · labyrinth", LEAD) + f"<main>{words}{text}</main>" + back())


# The notebook ------------------------------------------------------------------------------------------------


def execute(options):
    """The notebook with its outputs."""
    import nbclient
    import nbformat

    notebook = nbformat.read(HERE / "am_training.ipynb", as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    asked = parameters.source
    place = options.an4 and str(pathlib.Path(options.an4).absolute())
    program = options.program and str(pathlib.Path(options.program).absolute())
    parameters.source = f"AN4 = {place!r}\nPROGRAM = {program!r}\nQUICK = {options.quick!r}\nEMBEDDED = {options.embedded!r}\n"

    def tell(cell, cell_index, **_):
        print(f"cell {cell_index + 1} of {len(notebook.cells)}  {cell.source.splitlines()[0][:70]}", flush=True)

    begin = time.monotonic()
    client = nbclient.NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(HERE)}},
        on_cell_execute=tell,
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        sentence = error.evalue if error.ename == "Stop" else f"a cell failed with {error.ename}: {error.evalue}"
        if error.ename != "Stop":
            print(error, file=sys.stderr)
        stop(sentence.splitlines()[0])
    except KeyboardInterrupt:
        stop("interrupted; nothing was written")
    parameters.source = asked
    notebook.metadata["labyrinth"] = {"seconds": time.monotonic() - begin}
    nbformat.write(notebook, EXECUTED)
    return notebook


def front_of(notebook, seconds, machine):
    headings = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings += re.findall(r"^## (.*)", cell.source, flags=re.M)
    items = "".join(f'<li><a href="#{name_of(heading)}">{html.escape(heading)}</a></li>' for heading in headings)
    contents = f'<nav class="contents" aria-label="Contents"><ol>{items}</ol></nav>'
    made = f'<p class="made">This page was computed in {seconds / 60:.0f} minutes: {html.escape(machine)}.</p>'
    lead = f"{LEAD} Here: from one recording to a word error rate, step by step."
    return front("", "labyrinth: how a machine learns to listen", lead, contents, made)


def name_of(heading):
    """The anchor of a heading."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def render(notebook):
    """The page of a notebook that was run."""
    from nbconvert import HTMLExporter

    seconds = notebook.metadata["labyrinth"]["seconds"]
    told = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    machine = re.search(r"^labyrinth [\d.]+ on (.*)$", told, flags=re.M)
    corpus = re.search(r"^corpus: (.*)$", told, flags=re.M)
    machine = f"{machine[1]}; corpus: {corpus[1]}" if machine and corpus else "no machine was named"
    exporter = HTMLExporter(
        extra_template_basedirs=[str(HERE / "theme")], template_name="labyrinth", exclude_anchor_links=True,
    )
    page, _ = exporter.from_notebook_node(
        notebook, resources={"front": front_of(notebook, seconds, machine), "back": back()},
    )
    return re.sub(
        r"<h([23])[^>]*>(.*?)</h\1>", lambda found: f'<h{found[1]} id="{name_of(found[2])}">{found[2]}</h{found[1]}>', page,
    )


def main():
    options = arguments()
    packages()
    sys.path.insert(0, str(HERE))
    if options.pages:
        pages()
        return
    if options.again:
        import nbformat

        if not EXECUTED.exists():
            stop(f"nothing was computed yet: {os.path.relpath(EXECUTED)} is not there; run render.py without --again")
        write(options.out, render(nbformat.read(EXECUTED, as_version=4)))
        return
    import support

    try:
        program = support.find_program(options.program)
        people = not options.embedded and support.find_corpus(options.an4)
        print("corpus: " + ("AN4" if people else "the digits in the program" + ("" if options.embedded else "; AN4 is not here")))
        print(f"program: {program.path}, labyrinth {program.version}")
    except support.Stop as fault:
        stop(fault)
    notebook = execute(options)
    pages()
    write(options.out, render(notebook))
    print(f"the notebook took {notebook.metadata['labyrinth']['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
