"""Run directories: their name, and what they may build."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest

from tlx import Run, TlxError, compose, train
from tlx.config.compose import conf_dir, register
from tlx.config.defaults import complete

TINY = ["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "trainer=debug", "logger=none"]


def test_settling_auto_does_not_move_the_run(tmp_path: Path) -> None:
    """Guards against a run whose results go to another directory than the one that it began in."""
    register()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        overrides = [*TINY, "trainer.precision=auto", "trainer.channels_last=auto", f"output_dir={tmp_path}"]
        config = hydra.compose("train", overrides)  # with references, as hydra.main hands it over
    run = train(complete(config))
    assert [path.name for path in tmp_path.iterdir()] == [run.directory.name]
    assert run.finished
    assert run.config.trainer.precision != "auto"


def test_a_run_directory_does_not_bring_its_own_code(tmp_path: Path) -> None:
    """Guards against `tlx test` on somebody's run directory running what its config.yaml names."""
    run = Run(tmp_path)
    config = compose(TINY)
    config.dataset._target_ = "os.system"
    run.begin(config)
    (run.checkpoints / "best.ckpt").touch()
    with pytest.raises(TlxError, match=r"(?s)dataset.*'os\.system'.*if you trust it: .*TLX_ALLOW_TARGETS=os "):
        run.test()
