"""Check values that no schema covers: arguments of optimizers, and values that are wrong under any key."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake
from tlx.base.typecheck import check_value, show

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_BELOW_1 = {"low": 0, "high": 1, "open_high": True}
# Arguments with the same meaning in all optimizers of torch and timm: type and limits.
_ARGUMENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "momentum": (float, _BELOW_1),
    "alpha": (float, {"low": 0, "high": 1}),
    "rho": (float, {"low": 0, "high": 1}),
    "dampening": (float, {"low": 0, "high": 1}),
    "lr_decay": (float, {"low": 0}),
    "momentum_decay": (float, {"low": 0}),
    "initial_accumulator_value": (float, {"low": 0}),
    "lambd": (float, {"low": 0}),
    "t0": (float, {"low": 0}),
    "betas": (list[float], _BELOW_1),
    "etas": (list[float], {"low": 0, "open_low": True}),
    "step_sizes": (list[float], {"low": 0, "open_low": True}),
    "eps": (float, {"low": 0, "high": 1, "open_low": True}),
    **{key: (bool, {}) for key in ("amsgrad", "centered", "decoupled_weight_decay", "maximize", "nesterov")},
}
# Optimizers of torch that cannot train layer groups at different learning rates.
_UNFIT = {
    "torch.optim.LBFGS": "takes one parameter group",
    "torch.optim.SparseAdam": "takes only sparse gradients",
    "torch.optim.Muon": "takes only matrices, not convolutions and biases",
}


def check_arguments(node: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield the invalid arguments of an optimizer: a momentum of 2, one beta, an eps of 0."""
    target = str(node.get("_target_"))
    if target in _UNFIT:
        expected = "an optimizer that takes a parameter group for each layer group"
        yield Mistake(
            "optimizer._target_", expected, f"'{target}', which {_UNFIT[target]}", "for example torch.optim.AdamW"
        )
    of_torch = target.startswith("torch.optim.")
    for key, value in node.items():
        if key not in _ARGUMENTS or (key == "eps" and isinstance(value, list)):  # Adafactor has two eps
            continue
        hint, limits = _ARGUMENTS[key]
        path = f"optimizer.{key}"
        wrong = list(check_value(value, hint, path, limits))
        yield from wrong
        if hint == list[float] and not wrong and (len(value) != 2 if of_torch else not 1 < len(value) < 4):
            expected = "two numbers" if of_torch else "two or three numbers"
            yield Mistake(path, expected, show(value), "such as optimizer.betas=[0.9,0.999]" if key == "betas" else "")
    nesterov = target == "torch.optim.SGD" and node.get("nesterov") is True
    if nesterov and (not node.get("momentum") or node.get("dampening")):
        expected = "a momentum above 0 and no dampening with optimizer.nesterov=true"
        yield Mistake("optimizer.momentum", expected, show(node.get("momentum")), "type: optimizer.nesterov=false")


def check_plain(node: Any, path: str = "") -> Iterator[Mistake]:
    """Yield values that are wrong under any key: NaN, infinity, a zero byte, a `_target_` that is not a dotted path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            place = f"{path}.{key}" if path else str(key)
            if key == "_target_" and value is not None:
                if not isinstance(value, str) or not _DOTTED.fullmatch(value):
                    yield Mistake(place, "the dotted path of a class or function", show(value))
            else:
                yield from check_plain(value, place)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from check_plain(value, f"{path}[{i}]")
    elif isinstance(node, float) and not math.isfinite(node):
        yield Mistake(path, "a finite number", show(node))
    elif isinstance(node, str) and "\0" in node:
        yield Mistake(path, "a text without zero bytes", show(node))
