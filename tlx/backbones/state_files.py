"""Read state dicts from files without running code that a file may contain."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from tlx.backbones.containers import FoundWeights, find_weights
from tlx.backbones.file_kinds import kind_of, no_such_file
from tlx.backbones.placeholders import Refused, load_with_placeholders
from tlx.base.errors import TlxError
from tlx.base.written_out import is_written_out
from tlx.base.zip_bombs import refuse_bomb

_SAVE = "save it again where it was written: torch.save(model.state_dict(), 'weights.pth')"


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a checkpoint that tlx wrote, which contains only tensors and plain values.

    Raises:
        TlxError: There is no such file, it contains no named tensors, or it contains Python objects.
    """
    return _read(Path(path).expanduser(), lambda file: (_plain(file), []), key=None).state


def read_weights(path: str | Path, key: str | None = None) -> FoundWeights:
    """Read the named tensors of any file with weights; its kind is recognised by its content, not by its name.

    Args:
        path: A safetensors file, or a file of `torch.save` with a state dict, a dict that contains one, or a whole
            network. Other objects in it are skipped; none of their code is imported or run.
        key: Key of the weights in the file; None: one of the usual keys.

    Raises:
        TlxError: There is no such file, it is of another kind or damaged, or it contains no named tensors.
    """
    return _read(Path(path).expanduser(), load_with_placeholders, key)


def _read(path: Path, load: Callable[[Path], tuple[Any, list[str]]], key: str | None) -> FoundWeights:
    try:
        kind = kind_of(path)
    except OSError as error:
        raise TlxError(f"expected a file with weights, got '{path}' (cannot be read: {error.strerror})") from error
    what, hint = no_such_file(path) if kind is None else (kind.what, kind.hint)
    if kind is None or kind.reader is None:
        raise TlxError(f"expected a file with weights, got '{path}' ({what})" + (f"; {hint}" if hint else ""))
    skipped: list[str] = []
    if kind.reader == "safetensors":
        content: Any = _safetensors(path)
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns about old files
                refuse_bomb(path)
                content, skipped = load(path)
        except Exception as error:  # an untrusted file can make the reader raise anything
            raise TlxError(f"expected a file of torch.save with tensors, got '{path}': {_reason(error)}") from error
    weights = find_weights(content, key)
    if weights is None:
        raise TlxError(f"expected named tensors in '{path}', got {_describe(content, skipped)}; {_SAVE}")
    for name, value in weights.state.items():
        if not is_written_out(value):
            shape = " x ".join(f"{side:,}" for side in value.shape)
            raise TlxError(f"expected tensors in '{path}' with all values stored, got {name} of {shape}; {_SAVE}")
    objects = [name for name in skipped if not name.startswith("builtins.")]
    if objects:
        shown = ", ".join(objects[:4]) + (f" and {len(objects) - 4} more" if len(objects) > 4 else "")
        weights.notes.append(f"objects in the file were skipped, none of their code was run: {shown}")
    return weights


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TlxError(f"expected a safetensors file, got '{path}': damaged or truncated ({reason})") from error


def _plain(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _describe(content: Any, skipped: list[str]) -> str:
    if skipped:
        return f"only objects that need their own code: {', '.join(skipped[:4])}"
    if isinstance(content, Mapping):
        return f"a dict with {', '.join(map(str, list(content)[:5]))}" if content else "an empty dict"
    return f"an object of type {type(content).__name__}"


def _reason(error: Exception) -> str:
    """Return why a file could not be read, without torch's advice to read it in a way that runs its code."""
    text = str(error)
    if isinstance(error, Refused):
        return f"it refers to {error}, which no weights need; no code of it was run; do not use the file"
    if found := re.search(r"unsupported GLOBAL (\S+) whose module", text):
        return f"it refers to {found[1]}, which no weights need; no code of it was run; do not use the file"
    if found := re.search(r"GLOBAL (\S+) was not an allowed global", text):
        return f"it contains an object of type {found[1]}, tlx reads only tensors and plain values; {_SAVE}"
    if isinstance(error, EOFError) or any(
        words in text for words in ("unexpected EOF", "exhausted before seeing STOP")
    ):
        return "truncated; download or copy it again"
    if isinstance(error, BadZipFile | UnicodeDecodeError | MemoryError | RecursionError) or "PytorchStream" in text:
        return "damaged; download or copy it again"
    if "Only persistent_load of storage" in text:
        return f"a whole network with its code, in the format before torch 1.6; {_SAVE}"
    if "weights_only" in text or "Weights only" in text:
        last = text.partition("WeightsUnpickler error:")[2].strip().splitlines()
        detail = f" ({last[0].strip()})" if last else ""
        return f"damaged, or it contains objects that cannot be read without running their code{detail}; {_SAVE}"
    return f"{text.strip().splitlines()[0] if text.strip() else type(error).__name__}; {_SAVE}"
