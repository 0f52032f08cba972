"""State dicts from files, without running any code that a file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from tlx.errors import TlxError, closest

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
# Keys under which training scripts keep the weights, in the order of preference.
_NESTED = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name.

    Args:
        path: A `.safetensors` file, or one of `torch.save` (`.pth`, `.pt`, `.ckpt`, `.bin`) that holds a state dict or
            a dict with one, such as a Lightning checkpoint.

    Raises:
        TlxError: There is no such file, or it holds no tensors by name, or it holds Python objects.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = closest(path.name, beside)
        raise TlxError(
            f"expected a file with weights, got '{path}' (no such file)"
            + (f"; did you mean '{path.parent / near}'?" if near else "")
        )
    if path.suffix not in SUFFIXES:
        raise TlxError(f"expected a file with weights ({', '.join(SUFFIXES)}), got '{path}'")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    state = _find_state(content)
    if not state:
        kind = (
            f"a dict with {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else type(content)
        )
        raise TlxError(f"expected tensors by name in '{path}', got {kind}; save model.state_dict()")
    return state


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise TlxError(f"expected a safetensors file, got '{path}': {error}") from error


def _torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TlxError(
            f"expected a file of torch.save with tensors only, got '{path}': {reason}\n"
            f"Where it was written: torch.save(model.state_dict(), 'weights.pth')"
        ) from error


def _find_state(content: Any) -> dict[str, Tensor]:
    """Return the tensors by name of a dict, or those of the dict that a training script put within it."""
    if not isinstance(content, Mapping):
        return {}
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for key in _NESTED:
        if not state and isinstance(content.get(key), Mapping):
            state = _find_state(content[key])
    return state
