"""A backbone whose weights come from a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tlx.backbones.backbone import Backbone
from tlx.backbones.loading import load_state
from tlx.backbones.preprocessing import Preprocessing
from tlx.backbones.rebuild import rebuild
from tlx.backbones.report import UpperSource
from tlx.backbones.state_files import read_state
from tlx.base.errors import TlxError, closest
from tlx.records.files import read_model


def run_backbone(run: str, in_channels: int | None = None, load: bool = True, name: str = "run") -> Backbone:
    """Build the backbone of a finished run with its preprocessing and the weights of its best checkpoint.

    `architecture` is that of the run's own backbone, so that the new run does not depend on the directory of the old.

    Args:
        run: The run directory, with model.json and checkpoints/best.ckpt.
        in_channels: Channels of the images; None: as in the run. For another number the first convolution is adapted.
        load: False: only the architecture, with random weights; the checkpoint is not read.
        name: Ignored; the name of the configuration node.

    Raises:
        TlxError: There is no such run, it has no checkpoint, or its weights do not fit.
    """
    directory = Path(run).expanduser()
    description = _description(directory)
    if description.get("folds"):
        raise TlxError(
            f"backbone.run: expected the run of one network, got '{run}', which holds {description['folds']}; choose a "
            f"fold: backbone.run={directory / 'folds' / '1'}"
        )
    # `sides` were chosen for the boxes of that run's images.
    preprocessing = replace(Preprocessing.from_dict(description["preprocessing"]), sides=None)
    backbone = rebuild(description["architecture"], directory / "model.json", in_channels)
    backbone.preprocessing = preprocessing.for_channels(backbone.in_channels)
    if load:
        checkpoint = directory / "checkpoints" / "best.ckpt"
        if not checkpoint.is_file():
            raise TlxError(
                f"backbone.run: expected checkpoints/best.ckpt in '{run}', got none: the run is not finished"
            )
        state = read_state(checkpoint)
        body = {key: value for key, value in state.items() if key.startswith("backbone.")}
        upper = {key: value for key, value in state.items() if key not in body}
        backbone.report = load_state(backbone, body, source=f"run {directory}")
        names, task = list(description["class_names"]), str(description.get("task", "classification"))
        shaped_by = description.get("shaped_by") or {}
        backbone.upper_source = UpperSource(names, upper, task, description.get("kind"), shaped_by)
        backbone.report.notes.append(f"task of the run: {task}, {len(names)} classes")
    return backbone


def _description(directory: Path) -> dict[str, Any]:
    try:
        return read_model(directory)
    except FileNotFoundError as error:
        beside = [p.parent.name for p in directory.parent.glob("*/model.json")]
        near = closest(directory.name, beside)
        raise TlxError(
            f"backbone.run: expected the directory of a finished run, got '{directory}' (no model.json there)"
            + (f"; did you mean '{directory.parent / near}'?" if near else "")
        ) from error
