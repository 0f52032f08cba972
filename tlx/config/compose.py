"""Compose conf/ with Hydra and report every mistake of a command line at once."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlx.backbones import catalog as backbone_catalog
from tlx.base.compat.hydra import ConfigLoader, compose_faster
from tlx.base.compat.omegaconf import raw_node
from tlx.base.errors import ConfigError, Mistake, TlxError
from tlx.base.places import place_mistakes
from tlx.building.safety import foreign, trust_typed
from tlx.config.check import check
from tlx.config.compositions import Compositions, shared
from tlx.config.defaults import complete, lift_logger
from tlx.config.labels import fill_labels, gives_of
from tlx.config.multirun import sweep_mistakes
from tlx.config.naming import look_again, register_resolvers
from tlx.config.networks import REGISTERED, register_timm, with_own_network
from tlx.config.overrides import (
    check_override,
    force,
    groups_of,
    in_quotes,
    options_of,
    parted,
    readable,
    sweep_jobs,
    typed_epochs_count,
)
from tlx.config.references import repeated, unresolved_at, without_references
from tlx.config.shipped import CONFIG_NAME, conf_dir
from tlx.config.stored import settled
from tlx.config.sweep_values import values_mistakes
from tlx.data.files.image_files import why_no_folder
from tlx.data.sources.torchvision_table import TORCHVISION

# `logging.config` reads these and builds whatever a `()`, a `class` or an `ext://` names.
_LOGGING = ("job_logging", "hydra_logging")


@functools.cache
def register() -> None:
    """Register resolvers, and the options that are generated instead of written as files."""
    register_resolvers()
    store = ConfigStore.instance()
    Plugins.instance()  # stores the options of plugins
    compose_faster()
    launchers = store.repo.get("hydra", {}).get("launcher", {})
    for path in (conf_dir() / "hydra" / "launcher").glob("*.yaml"):
        launchers.pop(path.name, None)  # Hydra takes a plugin's option of the same name as the schema of tlx's
    for name in backbone_catalog.TORCHVISION:
        node = {"_target_": "tlx.backbones.torchvision_backbone", "name": name, "weights": "DEFAULT"}
        store.store(group="backbone", name=name, node=node, provider="tlx")
    for name, network in backbone_catalog.SHORT.items():
        of_timm = {"_target_": "tlx.backbones.timm_backbone", "name": network.timm, "pretrained": True}
        store.store(group="backbone", name=name, node=of_timm, provider="tlx")
    for name in TORCHVISION:
        own = {"_target_": "tlx.data.torchvision_set", "name": name, "root": "data", "download": True}
        flip = TORCHVISION[name].horizontal_flip  # false for characters
        full = {"defaults": ["base", "_self_"], **own, "test_fraction": 0.2, "horizontal_flip": flip}
        store.store(group="dataset", name=name, node=full, provider="tlx")
    files = {path.stem for path in (conf_dir() / "dataset").glob("*.yaml")} - {"base"}
    for name in sorted(files | set(TORCHVISION)):  # every data set can be the target domain
        store.store(group="target", name=name, node={"defaults": [{"/dataset@_here_": name}]}, provider="tlx")


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """Compose, check and resolve a configuration.

    Args:
        overrides: As on the command line, such as `["backbone=resnet50", "optimizer.lr=3e-4"]`.
        config_dir: A directory of the user's own options, searched after tlx's.

    Raises:
        ConfigError: It lists every mistake.

    Examples:
        >>> import tlx
        >>> config = tlx.compose(["dataset=digits", "strategy=gradual", "optimizer.lr=3e-4"])
        >>> config.optimizer.lr
        0.0003
        >>> [stage.name for stage in config.strategy.stages]
        ['dense', 'conv', 'full']
        >>> tlx.compose(["strategy=gradul"])
        Traceback (most recent call last):
            ...
        tlx.base.errors.ConfigError: 1 mistake in the configuration:
          strategy: expected an option of the group strategy, got 'gradul'
            did you mean 'gradual'? (all: tlx list strategies)
    """
    look_again()
    with _hydra(config_dir) as loader:
        overrides = _readable(loader, overrides)
        if in_parts := list(parted(overrides)):
            raise ConfigError(in_parts)
        config, mistakes = _compose_one(loader, overrides, _compositions(loader, overrides, config_dir))
    if mistakes or config is None:
        raise ConfigError(mistakes)
    return config


def compose_for_images(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """Compose a configuration whose data set is what matters: the task is one that fits it, unless one is typed.

    If the data set can give several kinds of labels, it gives the first one.

    Raises:
        ConfigError: It lists every mistake.
    """
    try:
        return compose(overrides, config_dir)
    except ConfigError as error:
        typed = any(text.startswith("task=") for text in overrides)
        if typed or any(mistake.path != "task" for mistake in error.mistakes):
            raise
        found = []
        for task in options("task", config_dir):
            with suppress(ConfigError):
                found.append(compose([*overrides, f"task={task}"], config_dir))
        if not found:
            raise
        return min(found, key=_place_of_labels)


def _place_of_labels(config: DictConfig) -> int:
    gives = gives_of(config.dataset)
    return gives.index(config.dataset.labels) if gives else 0


def check_command_line(overrides: Sequence[str], config_dir: str | Path | None, multirun: bool) -> list[Mistake]:
    """Return every mistake of a command line; for a multirun, those of each swept value."""
    with _hydra(config_dir) as loader:
        overrides = _readable(loader, overrides)
        if in_parts := list(parted(overrides)):
            return in_parts
        too_many = list(values_mistakes(overrides, loader)) if multirun else []
        jobs = list(sweep_jobs(overrides, loader)) if multirun and not too_many else [overrides]
        compositions = _compositions(loader, overrides, config_dir)
        composed = [_compose_one(loader, job, compositions) for job in jobs] if not too_many else []
        found = [*too_many, *(m for _, mistakes in composed for m in mistakes)]
        found += [m for config, _ in composed if config for m in place_mistakes(config.output_dir, config.run_dir)]
        found += sweep_mistakes(loader, overrides, multirun)
        if config_dir is not None:
            found += _foreign_to_hydra(jobs[0])
    return list(dict.fromkeys(found))


def for_hydra(overrides: Sequence[str], config_dir: str | Path | None) -> list[str]:
    """Return the overrides in the form in which Hydra accepts keys that the schema has and a file omits."""
    with _hydra(config_dir) as loader:
        groups = groups_of(loader)
        return [force(text, groups) for text in _readable(loader, overrides)]


def _readable(loader: ConfigLoader, overrides: Sequence[str]) -> list[str]:
    """Return overrides that Hydra can parse, and whose networks are options of the group backbone."""
    typed = typed_epochs_count(with_own_network(readable(overrides)))
    if any(text.startswith("backbone=") for text in typed):
        register_timm(typed, options_of(loader, "backbone"))
    return typed


def options(group: str, config_dir: str | Path | None = None) -> list[str]:
    """Return the names of a group's options, without networks of timm that have no short name."""
    with _hydra(config_dir) as loader:
        return [name for name in options_of(loader, group) if group != "backbone" or name not in REGISTERED]


class _hydra:
    """Initialise Hydra on conf/ inside a `with` block; restore the earlier Hydra at its end."""

    def __init__(self, config_dir: str | Path | None) -> None:
        register()
        self.own = None if config_dir is None else _own_dir(config_dir)
        self.before = GlobalHydra.instance().hydra

    def __enter__(self) -> ConfigLoader:
        GlobalHydra.instance().clear()
        initialize_config_dir(str(conf_dir()), version_base="1.3")
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoader)
        if self.own is not None:  # after tlx's, as in hydra.main
            path = loader.get_search_path()
            path.prepend(provider="config-dir", path=f"file://{self.own}", anchor=SearchPathQuery(provider="schema"))
            loader.repository.initialize_sources(path)
        return loader

    def __exit__(self, *exc: Any) -> None:
        GlobalHydra.instance().hydra = self.before


def _own_dir(config_dir: str | Path) -> Path:
    """Return the user's own directory. Refuse files named as tlx's: Hydra would ignore them silently."""
    own = Path(config_dir).expanduser().resolve()
    if not own.is_dir():
        raise TlxError(f"--config-dir: expected a directory, got '{config_dir}' ({why_no_folder(own)})")
    ours = [str(p.relative_to(conf_dir())) for p in conf_dir().rglob("*.yaml")]
    ours += [f"backbone/{n}.yaml" for n in (*backbone_catalog.TORCHVISION, *backbone_catalog.SHORT)]
    ours += [f"dataset/{n}.yaml" for n in TORCHVISION]
    taken = [name for name in ours if (own / name).is_file()]
    if taken and own != conf_dir():
        expected = "file names that tlx does not use"
        raise TlxError(f"--config-dir: expected {expected}, got {', '.join(sorted(taken))} in {own}: rename them")
    return own


def _compositions(loader: ConfigLoader, overrides: Sequence[str], config_dir: str | Path | None) -> Compositions:
    alone = config_dir is None and not any((conf_dir() / "local").glob("*.yaml"))  # files of tlx's, which stay the same
    kept = shared(overrides) if alone else None
    return Compositions(lambda texts: hydra_compose(CONFIG_NAME, overrides=texts), groups_of(loader), kept)


def _compose_one(
    loader: ConfigLoader, overrides: list[str], compositions: Compositions
) -> tuple[DictConfig | None, list[Mistake]]:
    mistakes: list[Mistake] = []
    groups = groups_of(loader)
    kept = []
    for text in overrides:
        found = list(check_override(loader, text, groups))
        mistakes += found
        if not found:
            kept.append(force(text, groups))
            trust_typed(text)
        elif text.partition("=")[0] not in groups and (quoted := in_quotes(text)) is not None:
            kept.append(force(quoted, groups))  # check the rest with the value that was meant
    try:
        config = compositions.compose(kept)
        return checked(config, mistakes)
    except (HydraException, OmegaConfBaseException, ValueError, KeyError) as error:  # KeyError: hydra.job.env_copy
        return None, [*mistakes, Mistake("conf", "files that compose", str(error).strip().replace("\n", "\n    "))]
    except Exception as error:  # a YAML syntax error in a user's file raises the parser's own class
        if type(error).__module__.split(".")[0] != "yaml":
            raise
        return None, [*mistakes, Mistake("conf", "valid YAML", str(error).replace("\n", "\n    "))]


def _foreign_to_hydra(overrides: Sequence[str]) -> list[Mistake]:
    """Return what a directory of options makes Hydra build, run around the jobs, or set in the environment."""
    try:
        node = hydra_compose(CONFIG_NAME, list(overrides), return_hydra_config=True).hydra
    except Exception:  # reported when the job was composed
        return []
    plain: Any = OmegaConf.to_container(node)
    found = [Mistake(f.path, f.expected, f.got, f.hint) for f in foreign(plain, "hydra")]
    typed = {text.lstrip("+").partition("=")[0] for text in overrides}
    variables = (plain.get("job") or {}).get("env_set") or {}
    for name in variables if isinstance(variables, dict) else ["?"]:  # LD_PRELOAD, PYTHONPATH, TLX_ALLOW_TARGETS, …
        path = f"hydra.job.env_set.{name}"
        if path not in typed:
            found.append(Mistake(path, "no environment variable from a file", "one", "set it in your shell"))
    with _hydra(None):
        usual: Any = OmegaConf.to_container(hydra_compose(CONFIG_NAME, [], return_hydra_config=True).hydra)
    for key in _LOGGING:
        if plain.get(key) != usual[key]:
            found.append(Mistake(f"hydra.{key}", "no logging settings from a file", "some", "leave them out"))
    return found


def checked(config: DictConfig, mistakes: Sequence[Mistake] = ()) -> tuple[DictConfig | None, list[Mistake]]:
    """Check a composed configuration; return it resolved and complete, or all its mistakes.

    Args:
        config: As Hydra composed it, without Hydra's own node.
        mistakes: Mistakes found before. The check draws no conclusions from their keys and nodes.
    """
    mistakes = list(mistakes)
    lift_logger(config)
    fill_labels(config)
    plain = _resolved(config, mistakes)
    doubtful = {_about(m.path) for m in mistakes}
    found = [m for m in check(plain, frozenset(doubtful)) if "${" not in m.got]
    repeats = dict(repeated(OmegaConf.to_container(config)))
    wrong = doubtful | {m.path for m in found}
    mistakes = [m for m in (*mistakes, *found) if repeats.get(m.path) not in wrong]  # report the referenced key only
    if mistakes:
        return None, mistakes
    try:
        return complete(settled(config)), []
    except OmegaConfBaseException as error:
        left = [m for key in ("run_name", "run_dir", "logger") for m in unresolved_at(config, key, key)]
        nowhere = Mistake(error.full_key or "conf", "references that resolve", str(error).splitlines()[0])
        return None, left[:1] or [nowhere]  # each depends on the one before it


def _about(path: str) -> str:
    """Return the key of a mistake. The path of an unreadable override is the whole text that was typed."""
    key = path.partition("=")[0].strip().lstrip("+~").partition("@")[0]
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", key)


def _resolved(config: DictConfig, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return plain values; leave the keys that name the run unresolved, because they need all others to be valid."""
    plain: dict[str, Any] = {}
    for key in map(str, config):
        if key == "logger":
            plain[str(key)] = OmegaConf.to_container(config[key]) if OmegaConf.is_config(config[key]) else config[key]
            continue
        if key in ("run_name", "run_dir"):
            is_reference = OmegaConf.is_interpolation(config, key)
            plain[str(key)] = "a reference" if is_reference else config[key]
            continue
        try:
            value = OmegaConf.select(config, str(key), throw_on_missing=False)
            is_node = OmegaConf.is_config(value)
            plain[str(key)] = OmegaConf.to_container(value, resolve=True, throw_on_missing=False) if is_node else value
        except OmegaConfBaseException as error:
            reported = [f"'${{{m.path}}}'" for m in mistakes]
            found = [m for m in unresolved_at(config, key, str(key)) if not m.got.startswith(tuple(reported))]
            nowhere = Mistake(str(key), "references that resolve", str(error).splitlines()[0])
            mistakes += found or ([] if mistakes else [nowhere])
            node = raw_node(config, key)
            plain[str(key)] = without_references(node) if OmegaConf.is_config(node) else None
    return plain


__all__ = ["CONFIG_NAME", "check_command_line", "checked", "compose", "conf_dir", "for_hydra", "options"]
