"""Read the checkpoints of a run, which may come from elsewhere, without running code or unpacking a bomb."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tlx.base.errors import TlxError
from tlx.base.zip_bombs import refuse_bomb
from tlx.records.reading import as_mapping, unreadable


def progress(path: Path) -> dict[str, Any]:
    """Return the progress of the run that wrote a checkpoint.

    The keys are `epochs` (completed ones), `global_step`, `seconds`, `done`, `data` and `figures`; and `whole_images`,
    the state of the callback of that name, if it ran.

    Raises:
        TlxError: The checkpoint cannot be read.
    """
    held = read_checkpoint(path)
    try:
        callbacks: dict[str, dict[str, Any]] = held.get("callbacks", {})
        own = callbacks.get("Checkpoints", {})
        _check_counts(held["loops"])
        epochs = int(held["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
        counts: dict[str, Any] = {
            "epochs": epochs,
            "global_step": int(held["global_step"]),
            "data": str(held.get("tlx", {}).get("data", "")),
        }
        whole = callbacks.get("WholeImages")
        if whole is not None:
            place = {"stage": int(whole["stage"]), "step": int(whole["step"])}
            counts["whole_images"] = {**place, "figures": _figures(whole)}
        seconds = float(own.get("seconds", 0.0))
        return {**counts, "done": bool(own.get("done")), "figures": _figures(own), "seconds": seconds}
    except KeyError as error:
        raise unreadable(path, "a checkpoint of tlx", f"one without {error}") from error
    except Exception as error:  # values of unexpected types
        raise unreadable(path, "a checkpoint of tlx", f"other values: {type(error).__name__}: {error}") from error


def _figures(state: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in dict(state.get("figures", {})).items()}


def _check_counts(node: Any) -> None:
    """Raise ValueError if one of Lightning's counts of epochs, batches or steps is not a natural number."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in ("ready", "started", "processed", "completed") and (not isinstance(value, int) or value < 0):
            raise ValueError(f"{key}: {value!r:.40}")
        _check_counts(value)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the tensors and plain values of a checkpoint; tensors stay on the disk until they are used.

    Raises:
        TlxError: The checkpoint cannot be read, or it holds other objects, which could run code.
    """
    try:
        refuse_bomb(path)
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types for a damaged or hostile file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TlxError(f"cannot read checkpoint {path}: {reason}; force=true trains the run from scratch") from error
    return dict(as_mapping(held, path, "a checkpoint of tlx"))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name.

    Raises:
        TlxError: The checkpoint cannot be read, or holds something other than tensors.
    """
    held = read_checkpoint(path).get("state_dict")
    weights = as_mapping(held, path, "a checkpoint of tlx with weights")
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise unreadable(path, "tensors by name", f"{name}: a {type(value).__name__}")
    return dict(weights)
