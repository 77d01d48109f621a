"""What render.py says when something is missing: one sentence, status 2. `python -m unittest discover notebooks`."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


class BadInput(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def program(self, said):
        path = self.folder / "labyrinth"
        path.write_text(f"#!/bin/sh\necho '{said}'\n")
        path.chmod(0o755)
        return path

    def refused(self, *arguments, **environment):
        """Runs render.py, which must refuse; returns its sentence."""
        page = self.folder / "page.html"
        done = subprocess.run(
            [sys.executable, HERE / "render.py", "-o", page, *arguments], capture_output=True, text=True,
            env=os.environ | environment,
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertFalse(page.exists())
        return done.stderr

    def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(self):
        for package in ("matplotlib", "nbconvert"):
            blocked = self.folder / package
            blocked.mkdir()
            (blocked / f"{package}.py").write_text(f"raise ImportError('none', name='{package}')\n")
            said = self.refused(PYTHONPATH=str(blocked))
            self.assertIn(package, said)
            self.assertIn("pip install", said)

    def test_an_older_program_is_refused(self):
        said = self.refused("--program", self.program("labyrinth 0.0.9"))
        self.assertIn("0.0.9", said)
        self.assertIn("0.1.0", said)

    def test_another_program_is_refused(self):
        self.assertIn("does not say", self.refused("--program", self.program("something else")))
        self.assertIn("cannot be run", self.refused("--program", self.folder / "nothing"))

    def test_a_corpus_that_is_named_and_not_there_is_refused(self):
        program = self.program("labyrinth 0.1.0")
        self.assertIn("nowhere", self.refused("--program", program, "--an4", self.folder / "nowhere"))

    def test_versions_compare_as_numbers(self):
        import support

        self.assertGreater(support.numbers("0.10.0"), support.numbers("0.9.3"))
        self.program("labyrinth 0.10.0")
        self.assertEqual(support.find_program(self.folder / "labyrinth").version, "0.10.0")


class NoRequests(unittest.TestCase):
    def test_what_would_ask_a_network_is_refused_and_a_link_is_not(self):
        import render

        render.no_requests('<a href="https://example.org">there</a><img src="data:,x">', "page")
        for page in ('<img src="https://example.org/x.png">', "<style>@import '//example.org/x.css'</style>", "<p style=\"background: url(//example.org/x.png)\">",
                     '<link rel="stylesheet" href="https://example.org/x.css">', "<script>1</script>",
                     f"<p>{render.ROOT}/data</p>"):
            with self.assertRaises(SystemExit, msg=page), open(os.devnull, "w") as nothing:
                stderr, sys.stderr = sys.stderr, nothing
                try:
                    render.no_requests(page, "page")
                finally:
                    sys.stderr = stderr


if __name__ == "__main__":
    unittest.main()
