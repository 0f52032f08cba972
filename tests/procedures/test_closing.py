"""What a run prints when it ends."""

from __future__ import annotations

import shlex
from pathlib import Path

from tlx.measures.by_class import ByClass
from tlx.procedures.closing import closing_lines, next_commands

CLASSES = ByClass("images", ("recall",), "recall", [(name, 5, [i / 9]) for i, name in enumerate("abcdefg")])


def test_the_end_names_the_test_the_worst_classes_and_the_pictures(tmp_path: Path) -> None:
    """Guards against pictures that do not exist, and against a table of all of 1,000 classes."""
    said = list(closing_lines(tmp_path, {"test/accuracy": 0.5}, "test/accuracy", 35, CLASSES))
    assert said[:3] == [
        "test split, 35 images:", "  test/accuracy  0.5000", "worst of 7 classes, by recall:",
    ]  # fmt: skip
    assert [line.split()[0] for line in said[3:]] == ["class", "a", "b", "c"]
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "review.md").touch()
    assert list(closing_lines(tmp_path, {}, "test/accuracy", 1, None)) == [
        "test split, 1 image:",
        f"pictures and tables: {tmp_path / 'review' / 'review.md'}",
    ]


def test_commands_can_be_copied() -> None:
    """Guards against the name of a run that a shell takes apart, and curves that were not written."""
    run = Path("my runs") / "a $run"
    assert [shlex.split(command) for command in next_commands(run, tensorboard=True)] == [
        ["tlx", "test", str(run)],
        ["tlx", "predict", str(run), "photos/"],
        ["tensorboard", "--logdir", "my runs"],
    ]
    assert len(next_commands(run, tensorboard=False)) == 2
