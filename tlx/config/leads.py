"""Suggest what to type instead of an unknown word: another tool's word, or a key of another option."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, get_type_hints

from tlx.backbones import catalog as backbone_catalog
from tlx.backbones.timm_source import timm_names
from tlx.base.errors import Mistake, closest, did_you_mean
from tlx.base.typecheck import check_value, show
from tlx.config import schema
from tlx.config.words import HYDRA, KEYS, LISTED, OPTIONS, VALUES, VERBS, Lead
from tlx.data.sources.characters import CharactersKeys
from tlx.data.sources.folder import FolderKeys
from tlx.data.sources.table import TableKeys
from tlx.data.sources.torchvision_table import TORCHVISION
from tlx.tasks.catalog import kind_of
from tlx.tasks.classification.kind import ClassificationKeys

_PARTS: dict[str, type] = {
    "": schema.Experiment,
    "trainer": schema.Trainer,
    "optimizer": schema.Optimizer,
    "dataset": FolderKeys,
    "task": ClassificationKeys,
    "strategy.stages.0": schema.Stage,
}
# Options by group, to find one that has a key which the chosen option lacks; hints name the first one.
_OPTIONS_OF: dict[str, dict[str, type]] = {
    "dataset": {
        "folder": FolderKeys,
        "table": TableKeys,
        "plates": CharactersKeys,
    },
    "backbone": {
        "small_cnn": schema.SmallCnn,
        "run": schema.RunBackbone,
        "file": schema.FileBackbone,
        "resnet50": schema.TorchvisionBackbone,
        "efficientnet_lite0": schema.TimmBackbone,
    },
    "logger": {
        "tensorboard": schema.TensorBoard,
        "csv": schema.Csv,
        "wandb": schema.Wandb,
        "mlflow": schema.MlFlow,
    },
}
_NEED = {"folder": "dataset.root=DIR", "table": "dataset.path=TABLE", "file": "backbone.path=WEIGHTS"}
_NEED |= {"run": "backbone.run=RUN"}
_TABLES = (".csv", ".tsv", ".parquet", ".txt")
_UNKNOWN = "a known key"


def follow(mistake: Mistake, config: Mapping[str, Any]) -> Mistake:
    """Return the mistake with a hint to tlx's own word, if its key or value is a known word of another tool.

    Args:
        mistake: A mistake of a composed configuration.
        config: Plain values.
    """
    unknown = mistake.expected == _UNKNOWN or re.match(r"optimizer\.\w+: expected a key that", str(mistake))
    if not unknown:
        value = mistake.got.strip("'")
        lead = _find(VALUES.get(re.sub(r"\[\d+\]", "", mistake.path), {}), value)
        return replace(mistake, hint=_say(lead, value)) if lead else mistake
    if not re.fullmatch(r"\w+(\.\w+)*", mistake.path):
        return mistake
    task = config.get("task")
    instead = kind_of(task).instead if isinstance(task, Mapping) else {}
    if mistake.path.startswith("task.") and (key := mistake.path.removeprefix("task.")) in instead:
        return replace(mistake, hint=instead[key])
    value, leaf = _leaf(_at(config, mistake.path), mistake.path)
    hint = _other_option(mistake.path, value, config) or key_hint(leaf, value, config)
    return replace(mistake, hint=hint) if hint else mistake


def key_hint(path: str, value: Any, config: Mapping[str, Any] | None = None) -> str:
    """Return what to type instead of an unknown key, or ''."""
    *above, word = path.split(".")
    lead = _find(KEYS, word) or (_find(KEYS, above[0]) if above else None)
    if lead is None:
        return ""
    if _normal(word) in ("data", "dataset") and str(value) in _sets():
        lead = Lead("dataset=VALUE")
    elif lead.typed == "dataset=folder dataset.root=VALUE" and _is_file(value):
        lead = Lead(f"dataset={'arrays' if str(value).endswith('.npz') else 'table'} dataset.path=VALUE")
    elif lead.typed == "trainer.stage_epochs=VALUE" and isinstance(value, int):
        lead = _of_epochs(value, config or {}) or lead
    elif lead.typed == "trainer.accelerator=VALUE" and (number := re.fullmatch(r"(?:cuda:)?(\d+)", str(value))):
        lead = Lead("trainer.devices=VALUE" if isinstance(value, int) else f"trainer=gpu trainer.devices=[{number[1]}]")
    elif lead.typed.startswith("task.monitor=") and (known := _find(VALUES["task.monitor"], str(value))):
        lead = Lead(known.typed, lead.note)
    elif lead.typed == "backbone=VALUE" and str(value) not in _networks():
        return option_hint("backbone", str(value), [*_networks()]) or _say(lead, None)
    elif lead.typed == "optimizer=VALUE" and str(value) not in ("adamw", "sgd"):
        lead = _find(OPTIONS["optimizer"], str(value)) or lead
    return _say(lead, value)


def option_hint(group: str, name: str, names: list[str]) -> str:
    """Return what to type instead of an unknown option, or ''."""
    like = "dataset" if group == "target" else group
    lead = _find(OPTIONS.get(like, {}), name)
    if lead is not None and group == "target":
        lead = Lead(lead.typed.replace("dataset", "target"), lead.note)
    if lead is None and group in ("dataset", "target") and ("/" in name or os.path.exists(os.path.expanduser(name))):
        lead = _of_path(group, name)
    if lead is not None:
        return _say(lead, name)
    if group == "backbone" and (near := _of_timm(name, names)):
        return f"type: backbone={near}"
    return ""


def bare_hint(word: str, sets: list[str]) -> str:
    """Return what to type instead of a path or the name of a data set without a key; '' for other words."""
    path = os.path.expanduser(word)
    if os.path.isfile(os.path.join(path, "status.json")):
        return f"type: {shlex.quote(f'resume={word}')} (to resume this run)"
    if os.path.isdir(path) or (os.path.isfile(path) and _is_file(word)):
        return _say(_of_path("dataset", word), word)
    if word in sets:
        return f"type: dataset={word} {_NEED.get(word, '')}".rstrip()
    return f"type: {word}=…" if word == "resume" or word in {spec.name for spec in fields(schema.Experiment)} else ""


def several_hint(key: str, typed: str) -> str:
    """Return what to type instead of `key=a,b` without -m."""
    listed = f"{key}=[{typed}]"
    each = "add -m to train with each value"
    takes_a_list = "." in key and _takes(key, [_number(word.strip()) for word in typed.split(",")])
    return f"{each}; for a list type {shlex.quote(listed)}" if takes_a_list else each


def label_hint(part: str, node: Mapping[str, Any]) -> str:
    """Return what to type if a name, which is only a label, is that of another network or data set; else ''."""
    own, name = str(node.get("_target_")).rpartition(".")[2], str(node.get("name"))
    if part == "backbone" and own in ("efficientnet_lite0", "small_cnn") and name != own:
        return f"type: backbone={name}" if name in _networks() or name.partition(".")[0] in timm_names() else ""
    is_other = own in ("digits", "plates", "letters") and name != own and name in _sets()
    return f"type: {part}={name}" if part in ("dataset", "target") and is_other else ""


def verb_hint(word: str, verbs: Mapping[str, object]) -> str:
    """Return what to type instead of an unknown verb."""
    lead = _find(VERBS, word)
    return did_you_mean(word, verbs) if lead is None else _say(lead, None)


def listed(word: str) -> str:
    """Return the word of `tlx list` for another tool's word; an unknown word is returned unchanged."""
    return next((name for words, name in LISTED.items() if word.lower() in words.split()), word)


def flag_hint(flag: str, value: str) -> str:
    """Return the override to type instead of `--flag value`."""
    key = flag.lstrip("-").replace("-", "_")
    plain: Any = int(value) if value.isdecimal() and len(value) < 20 else value
    hint = key_hint(key, plain if value else None)
    return hint or f"type: {key or 'KEY'}={value or '…'}"


def hydra_hint(key: str, value: str) -> str:
    """Return what to type instead of a Hydra key that tlx sets, or ''."""
    lead = HYDRA.get(key)
    return "" if lead is None else _say(lead, value)


def _say(lead: Lead, value: Any) -> str:
    """Return `type: …`, or what tlx lacks and the nearest option, with the user's value if the key accepts it."""
    if not lead.typed:
        return lead.note
    words = [_filled(word, value) for word in shlex.split(lead.typed)]
    if lead.note.startswith("tlx"):
        return f"{lead.note}: {' '.join(words)}"
    return f"type: {' '.join(words)}" + (f" ({lead.note})" if lead.note else "")


def _filled(override: str, value: Any) -> str:
    if not override.endswith("=VALUE"):
        return override
    key = override.removesuffix("=VALUE")
    return shlex.quote(f"{key}={_typed(value)}") if _takes(key, value) else f"{key}=…"


def _typed(value: Any) -> str:
    """Return a plain value as a user types it."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return value if isinstance(value, str) else show(value)


def _takes(key: str, value: Any) -> bool:
    """Return whether a key accepts a value. A string that Hydra would parse as something else is not accepted."""
    if value is None or (isinstance(value, str) and not re.fullmatch(r"[\w./~+-][\w ./~+@:-]*", value)):
        return False
    part, _, name = key.rpartition(".")
    known = _PARTS.get(part)
    if known is None or name not in (specs := {spec.name: spec for spec in fields(known)}):
        return True
    hint = get_type_hints(known)[name]
    return not list(check_value(value, hint, key, specs[name].metadata))


def _of_path(group: str, path: str) -> Lead:
    kind = "table" if path.lower().endswith(_TABLES) else "arrays" if path.endswith(".npz") else "folder"
    return Lead(f"{group}={kind} {group}.{'root' if kind == 'folder' else 'path'}=VALUE")


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _find(table: Mapping[str, Lead], word: str) -> Lead | None:
    return next((lead for words, lead in table.items() if _normal(word) in words.split()), None)


def _normal(word: str) -> str:
    return word.lower().replace("-", "_")


def _at(config: Mapping[str, Any], path: str) -> Any:
    node: Any = config
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _leaf(value: Any, path: str) -> tuple[Any, str]:
    """Return the value and path that were typed, given the outermost unknown key: `data` of `data.path=x`."""
    while isinstance(value, Mapping) and len(value) == 1:
        ((key, value),) = value.items()
        if str(key) != "name":
            path = f"{path}.{key}"
    return value, path


def _other_option(path: str, value: Any, config: Mapping[str, Any]) -> str:
    """Return a hint for a key that only another option of the group has: `dataset.root` of dataset=digits."""
    part, _, key = path.partition(".")
    like = "dataset" if part == "target" else part
    node = config.get(part)
    chosen = node.get("_target_") if isinstance(node, Mapping) else None
    if part == "backbone" and key in ("weights", "pretrained"):  # two names for the same setting
        untrained = value in (None, False, "none")
        if chosen == "tlx.backbones.torchvision_backbone":
            return "type: backbone.weights=null" if untrained else "leave it out: it has pretrained weights"
        if chosen in ("tlx.backbones.timm_backbone", "tlx.backbones.efficientnet_lite0"):
            return "type: backbone.pretrained=false" if untrained else "leave it out: it has pretrained weights"
        return ""
    if part == "backbone" and key == "path":
        return _say(Lead("backbone=file backbone.path=VALUE backbone.architecture=NETWORK"), value)
    if like == "dataset" and (key == "path" or (key == "root" and _is_file(value))):
        kind = "arrays" if str(value).endswith(".npz") else "table"
        return _say(Lead(f"{part}={kind} {part}.path=VALUE"), value)
    for option, known in _OPTIONS_OF.get(like, {}).items():
        if key in {spec.name for spec in fields(known)} and not key.startswith("_"):
            need = _NEED.get(option, "").replace("dataset.", f"{part}.")
            more = "" if need.startswith(f"{path}=") else f"{need} "
            if option == "file" and key == "architecture":
                more = "backbone.path=WEIGHTS "
            return _say(Lead(f"{part}={option} {more}{path}=VALUE"), value)
    return ""


def _of_epochs(epochs: int, config: Mapping[str, Any]) -> Lead | None:
    """Return the stages' own keys if the epochs exceed them: `trainer.stage_epochs` only shortens stages."""
    strategy = config.get("strategy")
    stages = strategy.get("stages") if isinstance(strategy, Mapping) else None
    try:
        longest = max(stage.get("epochs", schema.Stage.epochs) for stage in stages or [])
    except (ValueError, TypeError, AttributeError):
        return None
    if epochs <= longest:
        return None
    return Lead(" ".join(f"strategy.stages.{i}.epochs=VALUE" for i in range(len(stages or []))), "a stage has its own")


def _is_file(value: Any) -> bool:
    return str(value).lower().endswith((*_TABLES, ".npz"))


def _sets() -> set[str]:
    return {*TORCHVISION, "digits", "plates", "letters"}


def _networks() -> set[str]:
    return {*backbone_catalog.TORCHVISION, *backbone_catalog.SHORT, "small_cnn", "efficientnet_lite0"}


def _of_timm(name: str, names: list[str]) -> str:
    """Return the same or the shortest timm name that starts like `name`, unless a network of tlx is closer."""
    known, plain = timm_names(), _normal(name.partition(".")[0])
    if plain in known:
        return name
    begun = sorted((one for one in known if one.startswith(plain)), key=lambda one: (len(one), one))
    return begun[0] if begun and len(plain) > 4 and not _begins(plain, names) else ""


def _begins(name: str, names: list[str]) -> bool:
    near = closest(name, names)
    return near is not None and near.startswith(name)
