"""Find the dict with the weights in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tlx.backbones.placeholders import Placeholder
from tlx.base.errors import TlxError, did_you_mean

# Keys under which training scripts store the weights, in the order of preference.
_USUAL = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params"),
    *("backbone", "encoder", "teacher", "student"),
)
# Words in keys of averaged weights; DINO's users take the teacher, too.
AVERAGED = ("ema", "teacher", "average", "averaged", "swa")
_NO_WEIGHTS = ("optim", "sched", "scaler", "rng", "loss", "loop", "callbacks", "hyper_parameters")
_DEEPEST = 4


@dataclass(frozen=True)
class FoundWeights:
    """The weights in a checkpoint.

    Args:
        state: Name -> tensor.
        notes: Which other weights the file contains, and how to load them instead.
    """

    state: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)


def find_weights(content: Any, key: str | None = None) -> FoundWeights | None:
    """Return the weights of a checkpoint; None if it contains no named tensors.

    Args:
        content: The content of the file.
        key: `backbone.state_key`: the dotted path of the dict with the weights, or the prefix of their names.

    Raises:
        TlxError: There is no such key.
    """
    found = dict(_dicts(content))
    if key is not None:
        return FoundWeights(_weights_under(found, key))
    if not found:
        return None
    chosen = min(found, key=lambda path: _rank(path, len(found[path])))
    notes = [f"weights were taken from '{chosen}'"] if chosen and _last(chosen) not in _USUAL[:9] else []
    others = [path for path in found if path != chosen and _same_names(found[path], found[chosen])]
    averaged = [path for path in others if _is_averaged(path)]
    for path in averaged or others:
        kind = "averaged weights" if _is_averaged(path) else "other weights with the same names"
        notes.append(f"the file also contains {kind}; to load them: backbone.state_key={path}")
    return FoundWeights(found[chosen], notes)


def _dicts(content: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the dotted path and the tensors of every dict that contains tensors."""
    if isinstance(content, Placeholder):
        state = dict(_module_tensors(content))
        if state:
            yield path, state
        return
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if state:
        yield path, state
    for name, value in content.items():
        if isinstance(name, str) and not any(word in name.lower() for word in _NO_WEIGHTS):
            yield from _dicts(value, f"{path}.{name}" if path else name, depth + 1)


def _module_tensors(module: Placeholder, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a saved network with their names in its state dict."""
    state = module.state
    if not isinstance(state, dict) or depth > 30:
        return
    not_persistent = state.get("_non_persistent_buffers_set") or ()
    for part in ("_parameters", "_buffers"):
        for name, value in (state.get(part) or {}).items():
            if isinstance(value, Tensor) and name not in not_persistent:
                yield prefix + name, value
    for name, inner in (state.get("_modules") or {}).items():
        if isinstance(inner, Placeholder):
            yield from _module_tensors(inner, f"{prefix}{name}.", depth + 1)


def _weights_under(found: Mapping[str, dict[str, Tensor]], key: str) -> dict[str, Tensor]:
    if key in found:
        return found[key]
    begin = f"{key}."
    for path, state in found.items():
        rest = begin.removeprefix(f"{path}.") if path else begin
        if part := {name.removeprefix(rest): value for name, value in state.items() if name.startswith(rest)}:
            return part
    known = [path for path in found if path]
    hint = did_you_mean(key, known) if known else "its tensors are at the top level: leave the key out"
    raise TlxError(f"backbone.state_key: expected a key of the file that contains tensors, got '{key}'; {hint}")


def _rank(path: str, count: int) -> tuple[Any, ...]:
    """Return a sort key: usual keys first, then tensors at the top level, then the largest dict."""
    words = path.split(".") if path else []
    usual = [_USUAL.index(word) if word in _USUAL else len(_USUAL) for word in words]
    unusual = any(index == len(_USUAL) for index in usual)
    # A single tensor besides the dict of the weights, such as the number of the epoch, is not a state dict.
    return (bool(words) and unusual, count == 1, not words, usual, -count)


def _is_averaged(path: str) -> bool:
    return any(word in AVERAGED for part in path.lower().split(".") for word in part.split("_"))


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _same_names(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether two dicts belong to the same network, apart from a wrapper's prefix of the names."""
    last = [{name.rpartition("module.")[2] for name in state} for state in (one, other)]
    return len(last[0] & last[1]) * 2 > len(last[0])
