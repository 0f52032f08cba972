"""Check and convert the overrides of a command line: groups and options, `~`, sweeps, Hydra's form."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig

from tlx.base.compat.hydra import ConfigLoader
from tlx.base.errors import Mistake, did_you_mean
from tlx.base.legible import legible
from tlx.config.leads import bare_hint, hydra_hint, option_hint, several_hint
from tlx.config.sweep_values import sweep_values

# Hydra keys that a command line may set; tlx sets the others, and would ignore an override of them silently.
_HYDRAS = ("hydra/launcher", "hydra/sweeper", "hydra.launcher.", "hydra.sweeper.", "hydra.callbacks")

_STAGE_EPOCHS = re.compile(r"\+{0,2}strategy\.stages\.(\d+)\.epochs=")


def check_override(loader: ConfigLoader, text: str, groups: list[str]) -> Iterator[Mistake]:
    """Yield the mistakes of one override; composing it checks whether its key exists."""
    if legible(text) != legible(text.encode("utf-8", "ignore").decode()):  # a run's files could not store it
        typed, _, rest = text.partition("=")
        hint = "rename it, or link to it: ln -s NAME OTHER"
        yield Mistake(legible(typed), "a text in UTF-8", f"'{legible(rest)}'", hint)
        return
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        typed, equals, rest = text.partition("=")
        dotted = re.sub(r"\[(\d+)\]", r".\1", typed)
        if not equals:
            hint = f"type: {text}=…" if text in groups else bare_hint(text, options_of(loader, "dataset"))
            yield Mistake(text, "key=value", "no '='", hint)
            return
        if dotted != typed:
            yield Mistake(text, "key=value", str(error).splitlines()[0], f"type: {dotted}={rest}")
            return
        if typed in groups:
            hint = _option_hint(typed, rest, options_of(loader, typed))
            yield Mistake(typed, f"an option of the group {typed}", f"'{rest}'", hint)
            return
        quoted = in_quotes(text)
        if quoted is None:
            as_text = f'{typed}="{_escaped(rest)}"'
            hint = f"close the bracket, or quote it: {shlex.quote(as_text)}" if rest.startswith(("[", "{")) else ""
            yield Mistake(text, "key=value", str(error).splitlines()[0], hint)
            return
        hint = f"type: {shlex.quote(quoted)}"
        yield Mistake(typed, "a value in quotes if it is more than a word", f"'{rest}'", hint)
        return
    key = override.key_or_group
    if not key:
        yield Mistake(text, "key=value", "no key")
        return
    if re.match(r"hydra\b", key) and not key.startswith(_HYDRAS):
        hint = hydra_hint(key, text.partition("=")[2]) or "leave it out"
        yield Mistake(key, "a key of tlx", "a Hydra key, which tlx sets", hint)
        return
    if override.is_sweep_override():
        typed = text.partition("=")[2]
        yield Mistake(key, "one value", f"several: {typed}", several_hint(key, typed))
        return
    if key == "strategy.name" and str(override.value()) in options_of(loader, "strategy"):
        label = str(override.value())
        got = f"'{label}', which is another one of the group strategy"
        yield Mistake(key, "a label", got, f"type: strategy={label}")
        return
    if override.type == OverrideType.DEL or (key not in groups and not key.startswith("hydra/")):
        return
    names = options_of(loader, key)
    value = override.value()
    if isinstance(value, list) and key == "logger":
        yield from _list_mistakes(loader, [str(name) for name in value if str(name) in names], value)
    elif isinstance(value, list) and key != "experiment":
        yield Mistake(
            key, f"one option of the group {key}", f"{value}", "to train with each option: -m and no brackets"
        )
        return
    for name in value if isinstance(value, list) else [value]:
        if name is None:
            hint = "leave it out" if key == "experiment" else did_you_mean("none", names) if "none" in names else ""
            yield Mistake(key, f"an option of the group {key}", "null", hint)
        elif str(name) not in names:
            yield Mistake(key, f"an option of the group {key}", f"'{name}'", _option_hint(key, str(name), names))


def _list_mistakes(loader: ConfigLoader, names: list[str], value: list[Any]) -> Iterator[Mistake]:
    """Yield the loggers that cannot be in a list: `none`, and a user's own whose keys are not under a name."""
    if not value:
        yield Mistake("logger", "options of the group logger", "an empty list", "type: logger=none")
    for name in names if len(value) > 1 else ():
        result = loader.repository.load_config(f"logger/{name}")
        if result is not None and isinstance(result.config, DictConfig) and "_target_" in result.config:
            hint = f"start its file with `{name}:` and indent its keys" if name != "none" else "leave it out"
            yield Mistake("logger", "loggers whose keys are under their name", f"'{name}' in a list", hint)


def typed_epochs_count(overrides: Sequence[str]) -> list[str]:
    """Return overrides in which the epochs that are typed for a stage are not lengthened by its `min_steps`.

    The stages of shipped strategies have both. `strategy.stages.0.epochs=3` means 3 epochs, so it sets `min_steps` to 0
    unless that is typed, too.
    """
    stages = [found[1] for text in overrides if (found := _STAGE_EPOCHS.match(text))]
    keys = [f"strategy.stages.{stage}.min_steps" for stage in dict.fromkeys(stages)]
    typed = {text.lstrip("+").partition("=")[0] for text in overrides}
    return [*overrides, *(f"{key}=0" for key in keys if key not in typed)]


def parted(overrides: Sequence[str]) -> Iterator[Mistake]:
    """Yield values that the shell split at a space: `dataset.root=my pets`, if that folder exists."""
    for i, text in enumerate(overrides):
        key, equals, value = text.partition("=")
        for end in range(i + 2, len(overrides) + 1):
            if not equals or "=" in overrides[end - 1]:
                break
            whole = " ".join([value, *overrides[i + 1 : end]])
            if os.path.exists(os.path.expanduser(whole)):
                got = f"{end - i} words, {' '.join(overrides[i:end])}"
                yield Mistake(key, "a value in quotes if it has spaces", got, f"type: {shlex.quote(f'{key}={whole}')}")
                break


def in_quotes(text: str) -> str | None:
    """Return `key=value` with its value in quotes if Hydra accepts it only so; else None.

    Quotes do not correct a list or a mapping, which may lack a bracket.
    """
    parser = OverridesParser.create()
    key, equals, value = text.partition("=")
    if value.startswith(("[", "{")):
        return None
    with suppress(HydraException):
        parser.parse_override(text)
        return None
    quoted = f'{key}="{_escaped(value)}"'
    with suppress(HydraException):
        parser.parse_override(quoted)
        return quoted if equals else None
    return None


def _option_hint(group: str, name: str, names: list[str]) -> str:
    if group == "backbone" and name not in names and name.startswith("timm/"):
        return f"type: backbone=timm backbone.name={name.removeprefix('timm/')}"
    if hint := option_hint(group, name, names):
        return hint
    plural = {"strategy": "strategies"}.get(group, f"{group}s")
    hint = did_you_mean(name, names)
    listed = group in ("backbone", "dataset", "target", "strategy", "optimizer", "classifier")
    return f"{hint} (all: tlx list {plural})".strip() if listed else hint


# Both query the repository directly: the loader's methods first copy it with all its nodes, 20 ms each time.


def groups_of(loader: ConfigLoader) -> list[str]:
    """Return the names of the groups: backbone, dataset, …"""
    return [str(g) for g in loader.repository.get_group_options("", ObjectType.GROUP) if g != "hydra"]


def options_of(loader: ConfigLoader, group: str) -> list[str]:
    """Return the names of a group's options."""
    names = loader.repository.get_group_options(group, ObjectType.CONFIG)
    return sorted({str(n) for n in names} - {"base"})


def at_home(overrides: Sequence[str]) -> list[str]:
    """Expand `~` in values such as `root=~/pets`: a shell does not expand it after a dotted key."""
    home = os.path.expanduser("~")  # stays ~ for a user without a home directory
    return [re.sub(r"(^[^=~]+=|,)~(?=[/,]|$)", lambda match: match[1] + home, text) for text in overrides]


def readable(overrides: Sequence[str]) -> list[str]:
    """Return overrides that Hydra can parse: `~` expanded, and regular expressions in quotes."""
    return [re.sub(r"^(\+{0,2}\w+\.group_pattern)=(?!null$|['\"])(.+)$", _quoted, text) for text in at_home(overrides)]


def _quoted(typed: re.Match[str]) -> str:
    return f'{typed[1]}="{_escaped(typed[2])}"'


def _escaped(value: str) -> str:
    return re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), value)


def force(text: str, groups: list[str]) -> str:
    """Return `++key=value` for `key=value`: the later check, not Hydra, reports unknown keys."""
    override = OverridesParser.create().parse_override(text)
    key = override.key_or_group
    is_value = key not in groups and not key.startswith(("hydra.", "hydra/")) and override.package is None
    if override.type in (OverrideType.CHANGE, OverrideType.ADD) and is_value:
        return "++" + text.lstrip("+")
    return text


@dataclass(frozen=True)
class _Choice:
    key: str
    values: list[str]


def sweep_jobs(overrides: Sequence[str], loader: ConfigLoader | None = None) -> Iterator[list[str]]:
    """Yield one list of overrides for each value of each swept key, with the other swept keys at their first value.

    This finds every bad value without composing all combinations of a large sweep.
    """
    choices: list[_Choice] = []
    fixed: list[str] = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            fixed.append(text)  # check_override reports it
            continue
        if override.is_sweep_override():
            values = list(dict.fromkeys(sweep_values(override, loader)))
            if values:
                choices.append(_Choice(override.get_key_element(), values))
        else:
            fixed.append(text)
    first = [f"{c.key}={c.values[0]}" for c in choices]
    yield fixed + first
    for i, choice in enumerate(choices):
        for value in choice.values[1:]:
            yield [*fixed, *first[:i], f"{choice.key}={value}", *first[i + 1 :]]
