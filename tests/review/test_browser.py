"""TensorBoard in a real browser: every tab that the review fills shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tlx
from tests.review.chromium import Page, browsing, find_chromium, tensorboard

pytestmark = pytest.mark.slow
STRATEGIES = ("linear_probe", "gradual")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, if there is a browser to show them."""
    if find_chromium() is None:
        pytest.skip("no Chromium: it comes with the system's packages, such as apt-get install chromium")
    pytest.importorskip("aiohttp", reason="no aiohttp, by which the browser is driven; it comes with Lightning")
    directory = tmp_path_factory.mktemp("sweep")
    for strategy in STRATEGIES:
        tlx.train(
            tlx.compose(
                [
                    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16",
                    "trainer.stage_epochs=1", "optimizer.lr=1e-2", "trainer.log_every_n_steps=5",
                    f"strategy={strategy}", f"run_dir={directory / strategy}",
                ]
            )
        )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def address(sweep: Path) -> Iterator[str]:
    with tensorboard(sweep) as address:
        yield address


@pytest.fixture(scope="module")
def page(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    executable = find_chromium()
    assert executable is not None
    with browsing(executable, tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


def shows(*words: str, images: int = 0):
    return lambda seen: all(word in seen["text"] for word in words) and len(seen["images"]) >= images


def test_time_series_show_the_runs(page: Page, address: str) -> None:
    """Guards against events that TensorBoard reads and the first tab does not show."""
    page.open(f"{address}/#timeseries")
    page.wait(shows(*STRATEGIES, "_accuracy/train", "_accuracy/val", "_loss/train", "_loss/val"))


def test_scalars_show_a_curve_a_layer_group(page: Page, address: str) -> None:
    """Guards against tags that the tab takes apart into cards without a curve."""
    for tags in ("lr/", "movement/"):
        page.open(f"{address}/#scalars&tagFilter={tags}")
        groups = [f"{tags}{group}" for group in ("stem", "stage1", "stage2", "stage3", "head")]
        page.wait(shows(*STRATEGIES, *groups))
        drawn = page.evaluate(CURVES)
        assert drawn > 0, f"{tags}: no curve among its cards"


CURVES = """(() => {
  let count = 0;
  const walk = (node) => {
    if (node.tagName === 'path' && (node.getAttribute('d') || '').length > 20) count++;
    if (node.shadowRoot) walk(node.shadowRoot);
    node.childNodes.forEach(walk);
  };
  walk(document.body);
  return count;
})()"""


def test_images_show_the_pictures(page: Page, address: str) -> None:
    """Guards against pictures that TensorBoard cannot show."""
    page.open(f"{address}/#images&tagFilter=review")
    seen = page.wait(shows("review/confusion_matrix", "review/reliability", "review/wrong", images=8))
    assert min(seen["images"]) > 300


def test_text_shows_the_tables(page: Page, address: str) -> None:
    """Guards against Markdown that is shown as a heap of bars."""
    page.open(f"{address}/#text")
    seen = page.wait(
        shows("review/per_class", "review/most_confidently_wrong", "precision", "recall", "probability of it")
    )
    assert "| precision" not in seen["text"]
    assert "digit " in seen["text"]  # the images' names


def test_hparams_compare_the_runs_by_what_differs(page: Page, address: str) -> None:
    """Guards against a table whose first columns are the same for all runs, or which lacks the final figures."""
    page.open(f"{address}/#hparams")
    seen = page.wait(shows("Trial ID", *STRATEGIES, "Best/val_accuracy", "Best/test_ece"))
    keys = [line for line in seen["text"].splitlines() if line.startswith(("strategy.", "optimizer.", "dataset."))]
    assert keys[0] == "strategy.name"
    assert "optimizer.lr" in keys


def test_the_projector_shows_the_test_images(page: Page, address: str) -> None:
    """Guards against files that the tab finds and cannot load."""
    page.open(f"{address}/#projector")
    found = shows("2 runs found", "test images", "359x16", "Label by", "predicted", "verdict")
    page.wait(lambda seen: found(seen) and re.search(r"variance described:\s*\d", seen["text"]) is not None)
