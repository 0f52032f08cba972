"""State dicts from files, without running any code that a file may hold."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from tlx.backbones.blanks import Refused, load_with_blanks
from tlx.backbones.containers import Held, find_weights
from tlx.backbones.file_kinds import kind_of, nothing_there
from tlx.base.errors import TlxError
from tlx.base.written_out import is_written_out
from tlx.base.zip_bombs import refuse_bomb

_SAVE = "where it was written: torch.save(model.state_dict(), 'weights.pth')"


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors by name of a checkpoint of tlx's own, which holds nothing but tensors and plain values.

    Raises:
        TlxError: There is no such file, or it holds no tensors by name, or it holds Python objects.
    """
    return _read(Path(path).expanduser(), lambda file: (_plain(file), []), key=None).state


def read_weights(path: str | Path, key: str | None = None) -> Held:
    """Read the tensors by name of a file from elsewhere; its content says what it is, not its name.

    Args:
        path: A safetensors file, or one of `torch.save` that holds a state dict, a dict with one, or a whole network.
            Objects in it are passed over: none of their code is imported or run.
        key: Under which the weights lie; None: the usual ones.

    Raises:
        TlxError: There is no such file, it is of another kind, it is damaged, or it holds no tensors by name.
    """
    return _read(Path(path).expanduser(), load_with_blanks, key)


def _read(path: Path, load: Callable[[Path], tuple[Any, list[str]]], key: str | None) -> Held:
    try:
        kind = kind_of(path)
    except OSError as error:
        raise TlxError(f"expected a file with weights, got '{path}' (cannot be read: {error.strerror})") from error
    what, hint = nothing_there(path) if kind is None else (kind.what, kind.hint)
    if kind is None or kind.reader is None:
        raise TlxError(f"expected a file with weights, got '{path}' ({what})" + (f"; {hint}" if hint else ""))
    passed_over: list[str] = []
    if kind.reader == "safetensors":
        content: Any = _safetensors(path)
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own remarks on old files
                refuse_bomb(path)
                content, passed_over = load(path)
        except Exception as error:  # a file from elsewhere can make the reader raise anything
            raise TlxError(f"expected a file of torch.save with tensors, got '{path}': {_reason(error)}") from error
    held = find_weights(content, key)
    if held is None:
        raise TlxError(f"expected tensors by name in '{path}', got {_describe(content, passed_over)}; {_SAVE}")
    for name, value in held.state.items():
        if not is_written_out(value):
            shape = " x ".join(f"{side:,}" for side in value.shape)
            raise TlxError(f"expected tensors in '{path}' whose numbers it holds, got {name} of {shape}; {_SAVE}")
    objects = [name for name in passed_over if not name.startswith("builtins.")]
    if objects:
        shown = ", ".join(objects[:4]) + (f" and {len(objects) - 4} more" if len(objects) > 4 else "")
        held.notes.append(f"objects in the file were passed over, none of their code was run: {shown}")
    return held


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TlxError(f"expected a safetensors file, got '{path}': damaged or cut off ({reason})") from error


def _plain(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _describe(content: Any, passed_over: list[str]) -> str:
    if passed_over:
        return f"only objects that need code of their own: {', '.join(passed_over[:4])}"
    if isinstance(content, Mapping):
        return f"a dict with {', '.join(map(str, list(content)[:5]))}" if content else "an empty dict"
    return f"an object of {type(content).__name__}"


def _reason(error: Exception) -> str:
    """Say why a file could not be read, in our words: torch's advise to read it in a way that runs its code."""
    text = str(error)
    if isinstance(error, Refused):
        return f"it asks for {error}, which no weights need; nothing of it was run; do not use the file"
    if found := re.search(r"unsupported GLOBAL (\S+) whose module", text):
        return f"it asks for {found[1]}, which no weights need; nothing of it was run; do not use the file"
    if found := re.search(r"GLOBAL (\S+) was not an allowed global", text):
        return f"it holds an object of {found[1]}, tlx reads tensors and plain values only; {_SAVE}"
    if isinstance(error, EOFError) or any(
        words in text for words in ("unexpected EOF", "exhausted before seeing STOP")
    ):
        return "cut off; download or copy it again"
    if isinstance(error, BadZipFile | UnicodeDecodeError | MemoryError | RecursionError) or "PytorchStream" in text:
        return "damaged; download or copy it again"
    if "Only persistent_load of storage" in text:
        return f"a whole network with its code, in torch's form before 1.6; {_SAVE}"
    if "weights_only" in text or "Weights only" in text:
        last = text.partition("WeightsUnpickler error:")[2].strip().splitlines()
        detail = f" ({last[0].strip()})" if last else ""
        return f"objects that cannot be read without running their code, or damaged{detail}; {_SAVE}"
    return f"{text.strip().splitlines()[0] if text.strip() else type(error).__name__}; {_SAVE}"
