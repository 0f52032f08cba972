"""What README.md and docs/ say that commands print: run the commands, compare, and rewrite what has changed.

    python -m tests.printed                           # what has changed, among the commands that train nothing
    python -m tests.printed --write                   # rewrite the pages
    python -m tests.printed --write --nightly         # with the commands that train; minutes
    python -m tests.printed --nightly docs/sweeps.md  # of one page
    python -m tests.printed --write docs/first_hour.ipynb

Indented lines below a comment are the output of a command:

    <!-- printed -->                    the last command of the commands above
    <!-- printed nightly -->            the same, of a command that trains
    <!-- printed by `COMMAND` -->       another command, such as `head -5 outputs/*/review/review.md`
    <!-- printed after `COMMAND` -->    `COMMAND` runs first; also several

The commands of a page run one after another in one folder. A line `…` stands for lines that are left out. Times, dates
and hashes may differ. Of trainings, figures may differ as little as those of another processor do.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import run_notebook

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DATA = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))
INSECTS = "~/insects"  # on the pages: the photographs of ants and bees
LEFT_OUT = "…"
CLOSE = 0.06  # how far the figures of a training may be apart

_BLOCK = re.compile(
    r"^<!-- printed\b(?P<how>(?:(?!-->)[\s\S])*)-->\n\n(?P<text>(?:    .*\n|\n(?=    ))+)", re.MULTILINE
)
_COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"^estimate: .*"), "estimate"),
    (re.compile(r"\d[\d,.]* (?:s|ms|min|h|seconds|minutes|hours)\b"), "TIME"),
    (re.compile(r"-s(\d+)-[0-9a-f]{8}\b"), r"-s\1-HASH"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?"), "DATE"),
    (re.compile(r"\s+|-{3,}"), " "),  # columns are as wide as their cells
)
_FIGURE = re.compile(r"[-+]?\d+\.\d{3,}")
_SHORT_NUMBER = re.compile(r"\b\d+\.\d{1,2}\b")  # seconds in a column


@dataclass(frozen=True)
class Printed:
    """Lines of a page that a command prints.

    Args:
        page: The page.
        start: Where the lines begin in its text.
        text: The lines, indented.
        command: The command.
        before: Commands that run first.
        trains: Whether one of them trains.
    """

    page: Path
    start: int
    text: str
    command: str
    before: tuple[str, ...]
    trains: bool

    @property
    def name(self) -> str:
        """The page and the command."""
        return f"{self.page.name}: {self.command}"

    @property
    def lines(self) -> list[str]:
        """The lines without their indentation."""
        return [line[4:].rstrip() for line in self.text.splitlines()]


def printed(page: Path) -> list[Printed]:
    """Return the outputs on a page.

    Raises:
        ValueError: A comment has no command above it.
    """
    text, found = page.read_text(encoding="utf-8"), []
    for block in _BLOCK.finditer(text):
        how = " ".join(block["how"].split())
        typed = re.findall(r"\b(by|after) `([^`]+)`", how)
        own = [command for word, command in typed if word == "by"] or _last_command(text[: block.start()])
        if not own:
            raise ValueError(f"{page.name}: expected a command above '<!-- printed{how} -->', got none")
        before = tuple(command for word, command in typed if word == "after")
        trains = "nightly" in re.sub(r"`[^`]+`", "", how)
        found.append(Printed(page, block.start("text"), block["text"], own[-1], before, trains))
    return found


def _last_command(text: str) -> list[str]:
    blocks = _COMMANDS.findall(text)
    lines = blocks[-1].replace("\\\n", " ").splitlines() if blocks else []
    return [" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in lines if line.strip()][-1:]


class Place:
    """A folder in which the commands of a page run, with a home of its own.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        if (DATA / "hymenoptera").is_dir():
            (folder / INSECTS.removeprefix("~/")).symlink_to(DATA / "hymenoptera")
        own = {"HOME": str(folder), "TLX_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}

    def lacks(self, one: Printed) -> bool:
        """Return whether the images of a command are not on this machine."""
        return INSECTS in one.command and not (self.work.parent / INSECTS.removeprefix("~/")).exists()

    def output(self, one: Printed) -> list[str]:
        """Return the lines that a command prints, on both streams, after the commands before it."""
        for command in one.before:
            self._run(command)
        return [line.rstrip() for line in self._run(one.command).strip("\n").splitlines()]

    def _run(self, command: str) -> str:
        # The shell would start another process than the one that the fork server can replace.
        words = self._words(command) if re.match(r"(python -m )?tlx\s", command) else ["bash", "-c", command]
        done = subprocess.run(
            words, cwd=self.work, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return done.stdout.decode("utf-8").replace(self.environment["HOME"], "~")

    def _words(self, command: str) -> list[str]:
        words = shlex.split(command.removeprefix("python -m "))[1:]
        return [sys.executable, "-m", "tlx", *words]


def differences(one: Printed, output: Sequence[str]) -> list[str]:
    """Return what a page shows and the command does not print any more; [] if they agree."""
    now = renewed(one.lines, output)
    same = len(now) == len(one.lines) and all(
        _agree(old, new, one.trains) for old, new in zip(one.lines, now, strict=True)
    )
    return [] if same else list(difflib.unified_diff(one.lines, now, "on the page", "printed now", lineterm="", n=1))


def renewed(shown: Sequence[str], output: Sequence[str]) -> list[str]:
    """Return the lines to show in place of some shown lines: of each part between `…`, as many lines as before.

    The first part is the beginning of the output and the last one its end, unless `…` comes before or after them.
    Another part begins at the line that its first line resembles most.
    """
    parts: list[list[str]] = [[]]
    for line in shown:
        if line == LEFT_OUT:
            parts.append([])
        else:
            parts[-1].append(line)
    if len(parts) == 1:
        return list(output)
    found: list[str] = []
    for number, part in enumerate(parts):
        if number == 0:
            start = 0
        elif number == len(parts) - 1:
            start = len(output) - len(part)
        else:
            start = max(range(len(output)), key=lambda i: _likeness(output[i], part[0]), default=0)
        found += [*([LEFT_OUT] if number else []), *output[max(start, 0) : max(start, 0) + len(part)]]
    return found


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _agree(old: str, new: str, trained: bool) -> bool:
    old, new = _without_varying(old), _without_varying(new)
    if not trained or old == new:
        return old == new
    shapes = [_SHORT_NUMBER.sub("#", _FIGURE.sub("FIGURE", line)) for line in (old, new)]
    figures = zip(_FIGURE.findall(old), _FIGURE.findall(new), strict=False)
    return shapes[0] == shapes[1] and all(abs(float(a) - float(b)) <= CLOSE for a, b in figures)


def _without_varying(line: str) -> str:
    for pattern, instead in _VARYING:
        line = pattern.sub(instead, line)
    return line.strip()


def check(page: Path, folder: Path, trains: bool) -> Iterator[tuple[Printed, list[str], list[str]]]:
    """Run the commands of a page; yield each output on it with what is printed now, and with the differences.

    Args:
        page: The page.
        folder: An empty folder.
        trains: Whether to run the commands that train, or the others.
    """
    place = Place(folder)
    for one in printed(page):
        if one.trains == trains and not place.lacks(one):
            output = place.output(one)
            yield one, output, differences(one, output)


def rewrite(page: Path, changed: Sequence[tuple[Printed, Sequence[str]]]) -> None:
    """Write what commands print now into a page."""
    text = page.read_text(encoding="utf-8")
    for one, output in sorted(changed, key=lambda pair: -pair[0].start):
        lines = [f"    {line}".rstrip() for line in renewed(one.lines, output)]
        text = text[: one.start] + "\n".join(lines) + "\n" + text[one.start + len(one.text) :]
    page.write_text(text, encoding="utf-8")


def notebook_differences(notebook: Path, folder: Path) -> tuple[str, list[str]]:
    """Return the text of a notebook that was run again, and the lines below its cells that have changed.

    Numbers may differ: they are those of trainings.

    Args:
        notebook: The notebook.
        folder: An empty folder.
    """
    folder.mkdir(parents=True)
    run_notebook.run(notebook, folder / "out.ipynb", folder)
    new = (folder / "out.ipynb").read_text(encoding="utf-8")
    old = notebook.read_text(encoding="utf-8")
    lines = [[_without_numbers(line) for line in run_notebook.shown_lines(json.loads(text))] for text in (old, new)]
    return new, list(difflib.unified_diff(*lines, "in the notebook", "printed now", lineterm="", n=0))


def _without_numbers(line: str) -> str:
    return " ".join(re.sub(r"[-+]?\d[\d,.]*(e-?\d+)?", "#", _without_varying(line)).split())


def main() -> int:
    """Compare the pages, or rewrite them; return 1 if a page is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.printed", description="Outputs of commands on the pages.")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    parser.add_argument("--write", action="store_true", help="rewrite what has changed")
    parser.add_argument("--nightly", action="store_true", help="also run the commands that train")
    known = parser.parse_args()
    pages = known.pages or [*PAGES, *(run_notebook.NOTEBOOKS if known.nightly else [])]
    from tests.fork_server import forking, serving

    found = 0
    with serving(), forking(), tempfile.TemporaryDirectory() as folder:
        for page in map(Path.resolve, pages):
            if page.suffix == ".ipynb":
                text, differs = notebook_differences(page, Path(folder, page.stem))
                print(f"{page.name}: {'changed' if differs else 'as printed'}", *differs, sep="\n  ", flush=True)
                found += bool(differs)
                if known.write and differs:
                    page.write_text(text, encoding="utf-8")
                continue
            changed = []
            for trains in (False, True) if known.nightly else (False,):
                for one, output, differs in check(page, Path(folder, page.stem, str(trains)), trains):
                    print(f"{one.name}: {'changed' if differs else 'as printed'}", *differs, sep="\n  ", flush=True)
                    changed += [(one, output)] if differs else []
            found += len(changed)
            if known.write:
                rewrite(page, changed)
    return 0 if known.write or not found else 1


if __name__ == "__main__":
    sys.exit(main())
