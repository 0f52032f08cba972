"""Which of the dicts in a checkpoint holds the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tlx.backbones.blanks import Blank
from tlx.base.errors import TlxError, did_you_mean

# Keys under which training scripts keep the weights, in the order of preference.
_USUAL = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params"),
    *("backbone", "encoder", "teacher", "student"),
)
# Of a further, averaged copy, or of the network that DINO's users take.
AVERAGED = ("ema", "teacher", "average", "averaged", "swa")
_NO_WEIGHTS = ("optim", "sched", "scaler", "rng", "loss", "loop", "callbacks", "hyper_parameters")
_DEEPEST = 4


@dataclass(frozen=True)
class Held:
    """The tensors that were taken from a checkpoint.

    Args:
        state: Name -> tensor.
        notes: What else is there, and how to take it.
    """

    state: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)


def find_weights(content: Any, key: str | None = None) -> Held | None:
    """Return the weights of a checkpoint; None where no tensor has a name.

    Args:
        content: What the file holds.
        key: `backbone.state_key`: the dotted path of the dict that holds them, or what their names begin with.

    Raises:
        TlxError: There is no such key.
    """
    found = dict(_dicts(content))
    if key is not None:
        return Held(_asked(found, key))
    if not found:
        return None
    chosen = min(found, key=lambda path: _rank(path, len(found[path])))
    notes = [f"weights are those under '{chosen}'"] if chosen and _last(chosen) not in _USUAL[:9] else []
    others = [path for path in found if path != chosen and _same_names(found[path], found[chosen])]
    averaged = [path for path in others if _is_averaged(path)]
    for path in averaged or others:
        kind = "averaged weights" if _is_averaged(path) else "other weights of the same names"
        notes.append(f"the file holds {kind} too; to take them: backbone.state_key={path}")
    return Held(found[chosen], notes)


def _dicts(content: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every dict that holds tensors by name, under its dotted path."""
    if isinstance(content, Blank):
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


def _module_tensors(module: Blank, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a whole network that was saved, under the names that they have in its state dict."""
    state = module.state
    if not isinstance(state, dict) or depth > 30:
        return
    fleeting = state.get("_non_persistent_buffers_set") or ()
    for part in ("_parameters", "_buffers"):
        for name, value in (state.get(part) or {}).items():
            if isinstance(value, Tensor) and name not in fleeting:
                yield prefix + name, value
    for name, inner in (state.get("_modules") or {}).items():
        if isinstance(inner, Blank):
            yield from _module_tensors(inner, f"{prefix}{name}.", depth + 1)


def _asked(found: Mapping[str, dict[str, Tensor]], key: str) -> dict[str, Tensor]:
    if key in found:
        return found[key]
    begin = f"{key}."
    for path, state in found.items():
        rest = begin.removeprefix(f"{path}.") if path else begin
        if part := {name.removeprefix(rest): value for name, value in state.items() if name.startswith(rest)}:
            return part
    known = [path for path in found if path]
    hint = did_you_mean(key, known) if known else "its tensors lie in no dict: leave the key out"
    raise TlxError(f"backbone.state_key: expected a key of the file under which tensors lie, got '{key}'; {hint}")


def _rank(path: str, count: int) -> tuple[Any, ...]:
    """Sort the usual keys first, then tensors that lie beside one another at the top, then the largest dict."""
    words = path.split(".") if path else []
    usual = [_USUAL.index(word) if word in _USUAL else len(_USUAL) for word in words]
    strange = any(place == len(_USUAL) for place in usual)
    # A lone tensor beside the dict of the weights, such as the number of the epoch, is no state dict.
    return (bool(words) and strange, count == 1, not words, usual, -count)


def _is_averaged(path: str) -> bool:
    return any(word in AVERAGED for part in path.lower().split(".") for word in part.split("_"))


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _same_names(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two dicts are of one network, up to what a wrapper puts in front of its names."""
    last = [{name.rpartition("module.")[2] for name in state} for state in (one, other)]
    return len(last[0] & last[1]) * 2 > len(last[0])
