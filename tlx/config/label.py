"""The legible part of a run's name: data, network, strategy, and what differs from the options that tlx ships.

It is a function of the configuration alone: a job of a sweep and the same run typed by itself have one name, in
whatever order keys are typed. It is short, not complete: the hash at the end of a name makes it unique.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.config.free_keys import NOT_IDENTITY
from tlx.config.shipped import option_of, shipped
from tlx.records.files import read_config

LONGEST = 40  # characters of all words about what differs
_LONGEST_WORD = 20
_PARTS = ("optimizer", "dataset", "backbone", "trainer", "task", "strategy", "classifier", "target", "cache")
_KFOLD = "kfold"  # the option of validation that a name shows
_PATHS = ("root", "path", "run")
_NAMED = {"_target_", "name", *_PATHS}  # keys that other parts of a name already show
# Words for keys, the most telling first. '': the value says enough.
_WORDS = {
    "optimizer.lr": "lr",
    "dataset.labels_per_class": "labels",
    "dataset.fraction": "fraction",
    "dataset.labels": "",
    "task.model": "",
    "task.decoder": "",
    "task.loss": "",
    "dataset.augment": "",
    "dataset.image_size": "size",
    "dataset.batch_size": "batch",
    "dataset.micro_batch": "micro",
    "trainer.stage_epochs": "epochs",
    "strategy.epochs": "epochs",
    "trainer.precision": "",
    "optimizer.weight_decay": "wd",
    "optimizer.layer_decay": "decay",
    "dataset.classes": "classes",
    "validation.folds": "kfold",
    "validation.repeats": "times",
    "dataset.fold": "fold",
    "dataset.folds": "of",
    "dataset.split_seed": "split",
    "dataset.subset_seed": "subset",
    "task.label_smoothing": "smoothing",
    "trainer.gradient_clip_val": "clip",
    "trainer.average_weights": "average",
    "trainer.max_minutes": "minutes",
    "trainer.accumulate_grad_batches": "accumulate",
}
_BACKBONES = {"efficientnet_lite0": "lite0"}
_GENERIC = {"data", "dataset", "images", "img", "root", "train", "photos", "set"}  # folders whose parent says more
_FILES = (".csv", ".npz", ".parquet", ".json", ".yaml")
_RUN = "tlx.backbones.run_backbone"


def label(config: Mapping[str, Any]) -> str:
    """Return `DATASET-BACKBONE-STRATEGY-WORDS` in characters that are safe in file names and on command lines.

    With a target domain the first part is `SOURCE_to_TARGET`; with a classifier the third is `features_CLASSIFIER`; for
    the layer groups of another run the second is `source_DATASET`.

    Args:
        config: Resolved plain values.
    """
    data, strategy = _data("dataset", config), str(_node("strategy", config).get("name", "strategy"))
    if config.get("target") is not None:
        data += f"_to_{_data('target', config)}"
    if config.get("classifier") is not None:
        strategy += f"_{_node('classifier', config).get('name', 'classifier')}"
    return "-".join(_safe(word) for word in (data, _backbone(config), strategy, *words(config)))


def words(config: Mapping[str, Any]) -> list[str]:
    """Return short words for what differs from the shipped options, the most telling first, LONGEST characters in all.

    Args:
        config: Resolved plain values.
    """
    found = dict(_differing(config))
    order = {key: i for i, key in enumerate(_WORDS)}
    chosen: list[str] = []
    if _node("optimizer", config) and (name := _optimizer(config)) != "adamw":
        chosen.append(name)
    for key in sorted(found, key=lambda key: (order.get(key, len(order)), key)):
        word = _safe(_word(key, found[key]))
        if sum(map(len, chosen)) + len(word) <= LONGEST:
            chosen.append(word)
    return chosen


def _differing(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if (validation := _node("validation", config)).get("name") == _KFOLD:
        yield "validation.folds", validation.get("folds")
        if (repeats := validation.get("repeats", 1)) > 1:
            yield "validation.repeats", repeats
    for part in _PARTS:
        node = _node(part, config)
        if not node or (part in ("strategy", "classifier") and option_of(part, node) is None):
            continue
        usual, free = shipped(part, node), NOT_IDENTITY.get(part, set()) | _NAMED
        for key, value in node.items():
            default = _resolved(usual.get(key, math.nan), config)
            if key in free or value == default:
                continue
            if key == "stages":
                yield from _stages(value, default)
            elif (part, key) != ("dataset", "labels") or value != "masks":  # what the first of the tasks learns from
                yield f"{part}.{key}", value


def _stages(own: Any, usual: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys in which stages differ: `strategy.epochs` of a single one, `strategy.probe_epochs` of several."""
    fits = isinstance(own, list) and isinstance(usual, list) and len(own) == len(usual)
    if not fits or not all(isinstance(one, Mapping) for one in own):
        yield "strategy.stages", own
        return
    for one, other in zip(own, usual, strict=True):
        for key, value in one.items():
            if key == "min_steps" and value == 0 and one.get("epochs") != other.get("epochs"):
                continue  # it follows from the epochs
            if key != "name" and key in other and value != other[key]:
                yield f"strategy.{key}" if len(own) == 1 else f"strategy.{one.get('name')}_{key}", value


def _resolved(value: Any, config: Mapping[str, Any]) -> Any:
    """Return the value of a reference to a key at the top, such as `${seed}`."""
    found = re.fullmatch(r"\$\{(\w+)\}", value) if isinstance(value, str) else None
    return config.get(found[1]) if found else value


def _word(key: str, value: Any) -> str:
    name = _WORDS.get(key, key.rpartition(".")[2])
    if value is None or isinstance(value, bool):
        return name if value else f"no_{name or key.rpartition('.')[2]}"
    if isinstance(value, int | float):
        return f"{name}{_number(value)}"
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        value = "_".join(_number(one) if isinstance(one, int | float) else one for one in value)
    if isinstance(value, str) and re.fullmatch(rf"[\w.+-]{{1,{_LONGEST_WORD}}}", value):
        return value if name == "" and value != "none" else f"{name or key.rpartition('.')[2]}_{value}"
    return name or key.rpartition(".")[2]


def _number(value: float) -> str:
    """Return `3e-4`, `0.7` or `64`."""
    if isinstance(value, int) or not math.isfinite(value) or value == 0 or 0.01 <= abs(value) < 10_000:
        return f"{value:.5g}" if isinstance(value, float) else str(value)
    digits, _, exponent = f"{value:.4e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def _node(part: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    node = config.get(part)
    return node if isinstance(node, Mapping) else {}


def _data(part: str, config: Mapping[str, Any]) -> str:
    """Return the name of a set; for images of the user's own that have no name of their own, that of their folder."""
    node = _node(part, config)
    name = str(node.get("name", part))
    place = next((str(node[key]) for key in _PATHS if isinstance(node.get(key), str)), "")
    if name != str(node.get("_target_")).rpartition(".")[2] or not place:
        return name
    path = Path(os.path.abspath(os.path.expanduser(place)))
    own = path.stem if path.suffix in _FILES else path.name
    return next((one for one in (own, path.parent.name) if one and one.lower() not in _GENERIC), name)


def _backbone(config: Mapping[str, Any]) -> str:
    node = _node("backbone", config)
    if node.get("_target_") == _RUN:
        try:
            return f"source_{_data('dataset', read_config(Path(str(node.get('run'))).expanduser()))}"
        except (OSError, TlxError, ValueError):  # the check of the configuration reports it
            return "source"
    name = str(node.get("name", "backbone"))
    return _BACKBONES.get(name, name)


def _optimizer(config: Mapping[str, Any]) -> str:
    node = _node("optimizer", config)
    return option_of("optimizer", node) or str(node.get("_target_")).rpartition(".")[2].lower()


def _safe(word: str) -> str:
    return re.sub(r"[^\w.+-]", "_", word).strip(".") or "_"
