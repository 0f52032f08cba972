"""Load the weights of another network into a backbone, tensor by tensor, with a report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.first_convolution import adapt_kernel
from tlx.backbones.report import GroupReport, LoadReport
from tlx.base.errors import TlxError

# Prefixes that wrappers add to names: DataParallel, torch.compile, tasks that contain a backbone.
_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "net.")
# Names in files of older torchvision: DenseNet's layers, the Vision Transformer's MLP.
_OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)


def load_state(backbone: Backbone, state: Mapping[str, Tensor], source: str) -> LoadReport:
    """Copy the tensors that fit by name and shape into a backbone, and report every tensor.

    Names may be the backbone's own or those of the network that it was cut from, with the prefixes of common wrappers.
    Values are cast to the backbone's type, half precision to float32. A first convolution for another number of
    channels is adapted by `adapt_kernel`.

    Args:
        backbone: Changed in place.
        state: Name -> tensor.
        source: Where the tensors come from, as text.

    Raises:
        TlxError: No tensor fits, several sets of weights fit, or a tensor has values that weights cannot have.
    """
    own = backbone.state_dict(keep_vars=True)
    names = {original: name for name, original in backbone.original_names.items()} | {name: name for name in own}
    first = next((f"{n}.weight" for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d)), None)

    matched, left_over = _matched(state, names)
    notes: list[str] = []
    if not any(name.endswith("weight") for name in matched) and (prefixes := prefixes_of(state, names)):
        if len(prefixes) > 1:
            raise TlxError(
                f"expected one set of weights in {source}, got several under {', '.join(prefixes)}; "
                f"choose: backbone.state_key={prefixes[0]}"
            )
        matched, left_over = _matched({_without(key, prefixes[0]): value for key, value in state.items()}, names)
        notes.append(f"names in the file begin with '{prefixes[0]}'")
    elif further := prefixes_of({key: state[key] for key in left_over}, names):
        notes += [f"'{p}' contains further weights that fit; to load them: backbone.state_key={p}" for p in further]

    report = LoadReport(
        source,
        {group: GroupReport() for group in backbone.group_names},
        {key: tuple(tensor.shape) for key, tensor in left_over.items()},
        notes,
    )
    for name, target in own.items():
        group = report.groups[backbone.group_of(name)]
        value: Tensor | None = matched.get(name)
        if value is not None and name == first and _differ_in_channels(value, target):
            report.notes.append(f"first convolution {name}: {value.shape[1]} -> {target.shape[1]} input channels")
            value = adapt_kernel(value.to(target.dtype), target.shape[1])
        if value is not None and value.shape == target.shape:
            _check_values(value, name, source)
            with torch.no_grad():
                target.copy_(value)
            group.loaded[name] = tuple(target.shape)
        elif value is not None:
            group.reinitialised[name] = f"expected {tuple(target.shape)}, got {tuple(value.shape)}"
        elif not name.endswith("num_batches_tracked"):  # a counter, not a weight; older files do not contain it
            group.reinitialised[name] = f"missing, {tuple(target.shape)}"

    if not any(name.endswith("weight") for group in report.groups.values() for name in group.loaded):
        raise TlxError(
            f"expected weights that fit {backbone.architecture.get('name', 'the backbone')}, got none in {source}\n"
            f"  expected names: {', '.join(list(names)[:4])}, …\n"
            f"  names in the file: {', '.join(list(state)[:4])}, …"
        )
    return report


def prefixes_of(state: Mapping[str, Tensor], names: Mapping[str, str]) -> list[str]:
    """Return the prefixes (without the last dot) of names under which the network's weights are stored; [] if none.

    A prefix counts only if it covers more than half of the network, because many names end in `conv1.weight`.
    """
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for depth in range(1, min(len(parts), 6)):
            if any(candidate in names for candidate in _candidates(".".join(parts[depth:]))):
                counts[".".join(parts[:depth])] += 1
    enough = [prefix for prefix, count in counts.items() if 2 * count > len(set(names.values()))]
    return [prefix for prefix in enough if not any(prefix.startswith(f"{other}.") for other in enough)]


def _matched(state: Mapping[str, Tensor], names: Mapping[str, str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Divide tensors into those that the network has, under its names, and those left over."""
    matched: dict[str, Tensor] = {}
    left_over: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = next((names[candidate] for candidate in _candidates(key) if candidate in names), None)
        if name is None or name in matched:
            left_over[key] = tensor
        else:
            matched[name] = tensor
    return matched, left_over


def _without(key: str, prefix: str) -> str:
    return key.removeprefix(f"{prefix}.")


def _check_values(value: Tensor, name: str, source: str) -> None:
    """Reject tensors that cannot be weights of a network: without values, complex, quantized, sparse or with NaN."""
    what = ""
    if value.is_meta:
        what = "a tensor without values (device meta)"
    elif value.is_complex() or value.is_quantized or value.layout != torch.strided:
        what = f"a tensor of {value.dtype}" if value.layout == torch.strided else f"a tensor of {value.layout}"
    elif value.is_floating_point() and bool(torch.isnan(value).any()):
        what = "NaN values: the training that wrote them had diverged"
    if what:
        raise TlxError(f"expected numbers for {name} in {source}, got {what}")


def _candidates(key: str) -> Iterator[str]:
    """Yield a name, then the name without each wrapper prefix in turn; each also in torchvision's current spelling."""
    key = key.replace("_orig_mod.", "")
    while True:
        yield key
        for pattern, replacement in _OLD_NAMES:
            if pattern.search(key):
                yield pattern.sub(replacement, key)
        prefix = next((p for p in _PREFIXES if key.startswith(p)), None)
        if prefix is None:
            return
        key = key.removeprefix(prefix)


def _differ_in_channels(value: Tensor, target: Tensor) -> bool:
    return (
        value.ndim == target.ndim == 4
        and value.shape[1] != target.shape[1]
        and value.shape[:1] + value.shape[2:] == target.shape[:1] + target.shape[2:]
    )
