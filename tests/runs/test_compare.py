"""`tlx compare`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tlx import Run
from tlx.base.errors import TlxError
from tlx.cli import main
from tlx.measures.intervals import bootstrap_counts
from tlx.records.resamples import FILE, Resamples
from tlx.runs.compare import comparison


def write(folder: Path, name: str, right: np.ndarray, images: str = "same", metric: str = "accuracy", **more) -> str:
    """Write what a comparison reads of a run that is right on some of the test images (N,)."""
    run = folder / name
    run.mkdir(parents=True)
    found = bootstrap_counts(len(right), lambda drawn: {metric: drawn @ right / len(right)}, more.pop("groups", None))
    (run / FILE).write_text(Resamples(images, len(right), found.units, found.tested).text())
    low, high = found.overall[metric]
    figures = {f"test/{metric}": right.mean(), f"test/{metric}_low": low, f"test/{metric}_high": high}
    (run / "metrics.json").write_text(json.dumps(figures))
    (run / "settings.json").write_text(json.dumps({"optimizer.lr": 0.1, "seed": 0, **more}))
    return str(run)


@pytest.fixture
def right() -> np.ndarray:
    return (np.arange(200) % 5 > 0).astype(float)  # on 160 of 200 images


def test_small_differences_on_the_same_images_are_found(right: np.ndarray, tmp_path: Path) -> None:
    """Guards against unpaired intervals, which overlap, and against chance that is taken for a difference."""
    worse, other = right.copy(), right.copy()
    worse[[1, 2, 3, 4, 6, 7, 8, 9]] = 0
    other[[1, 2]], other[[0, 5, 10]] = 0, 1
    names = [
        write(tmp_path, name, one, seed=i)
        for i, (name, one) in enumerate(zip("abc", (right, worse, other), strict=True))
    ]
    text = comparison(names).splitlines()
    assert text[1].startswith(f"{names[0]}  0.8000 (0.74")
    assert text[2].startswith(f"{names[1]}  0.7600 (0.70")  # overlaps
    assert text[5] == f"{names[1]} less {names[0]}, on the same 200 test images:"
    assert text[6].startswith("  test/accuracy  -0.0400 (-0.0")
    assert "not shown" not in text[6]
    assert text[7] == "  seed: 0 -> 1"
    assert text[10].startswith("  test/accuracy  +0.0050 (-0.0")
    assert text[10].endswith("not shown to differ")


def test_groups_are_drawn_together(right: np.ndarray, tmp_path: Path) -> None:
    """Guards against eight wrong images of one patient that count as eight."""
    worse = right.copy()
    worse[[1, 2, 3, 4, 6, 7, 8, 9]] = 0
    groups = [f"patient {i // 10}" for i in range(200)]
    text = comparison([write(tmp_path, name, one, groups=groups) for name, one in (("a", right), ("b", worse))])
    assert "on the same 20 groups of 200 test images" in text
    assert "not shown to differ" in text


def test_what_cannot_be_paired_is_refused_by_name(right: np.ndarray, tmp_path: Path) -> None:
    """Guards against a difference between runs that were tested on different images, or measured differently."""
    one, others = write(tmp_path, "a", right), write(tmp_path, "b", right[:50], images="others")
    masks = write(tmp_path, "c", right, metric="miou")
    old = write(tmp_path, "d", right)
    (tmp_path / "d" / FILE).unlink()
    for runs, message in (
        ([one], "expected at least two runs"),
        ([one, others], rf"same images, got '{one}' and '{others}' with different ones \(200 and 50\)"),
        ([one, masks], rf"one task, got '{one}' and '{masks}', measured by accuracy and by miou"),
        ([one, old], f"expected runs with {FILE}, got '{old}' without it"),
        ([one, str(tmp_path / "e")], "no such directory"),
    ):
        with pytest.raises(TlxError, match=message):
            comparison(runs)


def test_real_runs_are_compared(tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against a file of resamples that no comparison can read."""
    copied = shutil.copytree(tiny_run.directory, tmp_path / "copy")
    main(["compare", str(tiny_run.directory), str(copied)])
    lines = capsys.readouterr().out.splitlines()
    accuracy, *others = [line for line in lines if line.endswith("not shown to differ")]
    bound = 1 - 0.025 ** (1 / 180)  # for 180 test images, none of which shows a difference
    assert accuracy.split()[:4] == ["test/accuracy", "+0.0000", f"({-bound:+.4f}", "to"]
    assert len(others) >= 2
    assert all(line.split()[1:] == ["+0.0000", "not", "shown", "to", "differ"] for line in others)
