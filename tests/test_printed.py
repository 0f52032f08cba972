"""The comparison of what pages show with what commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.printed import Printed, differences, printed, renewed, rewrite

PAGE = """Text.

```bash
tlx list tasks
tlx plan \\
    seed=1     # a remark
```

<!-- printed -->

    first  1.00
    …
    the end in 3.1 s

<!-- printed nightly by `tlx runs`
     after `tlx train a=1` after `tlx train a=2` -->

    whole, test/accuracy 0.900

After.
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_outputs_are_found_with_their_commands(page: Path) -> None:
    """Guards against the output of another command than the one above it, and remarks that are typed."""
    one, other = printed(page)
    assert (one.command, one.before, one.trains) == ("tlx plan seed=1", (), False)
    assert one.lines == ["first  1.00", "…", "the end in 3.1 s"]
    assert (other.command, other.before, other.trains) == ("tlx runs", ("tlx train a=1", "tlx train a=2"), True)
    page.write_text("<!-- printed -->\n\n    a\n")
    with pytest.raises(ValueError, match="expected a command above"):
        printed(page)


def test_times_may_differ_and_words_may_not(page: Path) -> None:
    """Guards against a page that is stale every day, or never."""
    one, other = printed(page)
    assert not differences(one, ["first  1.00", "x", "y", "the end in 20.0 s"])
    assert differences(one, ["first  1.01", "x", "the end in 3.1 s"])
    assert differences(one, ["first  1.00", "x", "the end after 3.1 s"])
    assert not differences(other, ["whole, test/accuracy 0.930"])
    assert differences(other, ["whole, test/accuracy 0.700"])
    assert differences(other, ["whole, test/accuracy 0.900", "one more"])


def test_lines_that_were_left_out_stay_out(page: Path) -> None:
    """Guards against a page that is flooded by a log when it is rewritten."""
    log = ["zero", "stage 1 of 2", "stage 2 of 2", "end", "last"]
    assert renewed(["a", "…", "stage 2 of 3", "…", "z"], log) == ["zero", "…", "stage 2 of 2", "…", "last"]
    assert renewed(["…", "z"], log) == ["…", "last"]
    assert renewed(["a", "b"], log) == log
    one, other = printed(page)
    rewrite(page, [(one, ["new", "…", "…", "done"]), (other, ["other"])])
    text = page.read_text()
    assert "    new\n    …\n    done\n\n<!-- printed nightly" in text
    assert text.endswith("-->\n\n    other\n\nAfter.\n")
    assert text.startswith(PAGE.partition("    first")[0])


def test_a_line_left_out_at_the_end(page: Path) -> None:
    """Guards against the whole output where the page shows its beginning."""
    shown = Printed(page, 0, "    a\n    …\n", "tlx", (), False)
    assert renewed(shown.lines, ["one", "two", "three"]) == ["one", "…"]
