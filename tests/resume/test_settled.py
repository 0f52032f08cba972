"""The order in which files change: a kill between any two of them leaves what the next start can go on with."""

from __future__ import annotations

import torch

from tlx import Run
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.checkpoints import settle_files


def save(path, step):
    loops = {"fit_loop": {"epoch_progress": {"current": {"processed": step // 10}}}}
    torch.save({"loops": loops, "global_step": step}, path)


def test_weights_that_last_ckpt_tells_of_are_kept_and_those_of_an_epoch_that_comes_again_are_not(tmp_path):
    """Guards against best weights that are lost, or are an epoch ahead, after a kill between two renames."""
    for name, step in {
        "last": 20,
        "best": 10,
        "best.ckpt.next": 20,
        "stage_best": 10,
        "stage_best.ckpt.next": 30,
    }.items():
        save(tmp_path / (name if "." in name else f"{name}.ckpt"), step)
    settle_files(tmp_path)
    left = {path.name: progress(path)["global_step"] for path in tmp_path.iterdir()}
    assert left == {"last.ckpt": 20, "best.ckpt": 20, "stage_best.ckpt": 10}


def test_a_run_says_that_it_is_finished_once_all_else_is_written(tmp_path, monkeypatch):
    """Guards against a finished run without figures, or with events files that nobody owns, after a kill at its end."""
    run = Run(tmp_path)
    run.files.start()
    run.files.add_events(tmp_path)
    written = []
    for module in ("directory", "written_names"):
        monkeypatch.setattr(f"tlx.records.{module}.write_text", lambda path, text: written.append(path.name))
    run.finish({"test/accuracy": 0.5})
    assert written.index("metrics.json") < written.index("status.json") == len(written) - 1
    assert written[-2] == "files.json"
