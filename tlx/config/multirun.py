"""Read the command line of a multirun: its swept keys, the name of the sweep, and its mistakes."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
from collections.abc import Iterator, Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from tlx.base.compat.hydra import ConfigLoader
from tlx.base.errors import Mistake, TlxError, did_you_mean
from tlx.base.slurm import is_one_of_several
from tlx.config.sweep_values import size_of

# The package that an option needs, and the extra of tlx that installs it.
NEEDS = {
    "joblib": ("joblib", "sweep"),
    "submitit_local": ("submitit", "sweep"),
    "submitit_slurm": ("submitit", "sweep"),
    "optuna": ("optuna", "sweep"),
    "ray": ("ray", "ray"),
}
DEFAULTS = {"launcher": "basic", "sweeper": "basic"}


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides that Hydra can parse; `check_override` reports the others."""
    found = []
    for text in overrides:
        try:
            found.append(OverridesParser.create().parse_override(text))
        except HydraException:
            continue
    return found


def plugins(overrides: Sequence[str]) -> dict[str, str]:
    """Return the chosen launcher and sweeper: `{"launcher": "joblib", "sweeper": "basic"}`."""
    chosen = dict(DEFAULTS)
    for override in parsed(overrides):
        group, _, kind = override.key_or_group.partition("/")
        if group == "hydra" and kind in chosen and isinstance(override.value(), str):
            chosen[kind] = str(override.value())
    return chosen


def swept_keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys with several values, in command-line order."""
    return [o.key_or_group for o in parsed(overrides) if o.is_sweep_override()]


def swept_values(overrides: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """Return a job's values of the swept keys, as strings."""
    values = {}
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key in keys:
            values[key] = value
    return values


def count(overrides: Sequence[str]) -> int | None:
    """Return the number of combinations; None if an interval or a range has infinitely many."""
    sweeps = [o for o in parsed(overrides) if o.is_sweep_override()]
    if not all(o.is_discrete_sweep() for o in sweeps):
        return None
    total = math.prod(size_of(o) for o in sweeps if not _is_glob(o))
    return int(total) if math.isfinite(total) else None


def sweep_name(overrides: Sequence[str]) -> str:
    """Return `KEYS-HASH`: the same command finds its directory again, with any launcher."""
    sweeper = plugins(overrides)["sweeper"]
    kept = sorted(o.lstrip("+") for o in overrides if not o.lstrip("+").startswith(("hydra.", "hydra/", "force=")))
    digest = hashlib.sha256("\n".join([sweeper, *kept]).encode()).hexdigest()[:8]
    label = "-".join(key.rpartition(".")[2].replace("/", "_") for key in sorted(swept_keys(overrides)))
    return f"{label[:60] or 'single'}-{digest}"


def sweep_mistakes(loader: ConfigLoader, overrides: Sequence[str], multirun: bool) -> list[Mistake]:
    """Return the mistakes in the choice of launcher and sweeper, their keys and the swept values."""
    chosen = plugins(overrides)
    asked = [kind for kind in DEFAULTS if any(o.key_or_group == f"hydra/{kind}" for o in parsed(overrides))]
    if not multirun:
        expected = "-m with it, as it applies to several jobs"
        return [Mistake(f"hydra/{kind}", expected, "a command without -m", "add -m") for kind in asked]
    return [
        *(m for name in chosen.values() for m in _missing_package(name)),
        *(m for kind, name in chosen.items() for m in _unknown_keys(loader, overrides, kind, name)),
        *_intervals(overrides, chosen["sweeper"]),
        *_one_directory(overrides),
        *_search_without_values(overrides, chosen["sweeper"]),
    ]


def refuse_several_processes(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a multirun that torchrun or srun started several times: each process would run the whole sweep.

    Raises:
        TlxError: This process is one of several.
    """
    if is_one_of_several(environment):
        raise TlxError(
            "expected one process for a multirun, which starts the processes of its jobs, got one of several of "
            "torchrun or srun; type tlx train -m … without torchrun (srun with --ntasks=1), and trainer.devices=N "
            "for several devices in each job"
        )


def _missing_package(name: str) -> Iterator[Mistake]:
    package, extra = NEEDS.get(name, ("tlx", ""))
    if importlib.util.find_spec(package) is None:
        kind = "sweeper" if name == "optuna" else "launcher"
        hint = f"type: pip install {package}, or pip install 'tlx[{extra}]'"
        yield Mistake(f"hydra/{kind}={name}", f"the package {package}", "none", hint)


def _unknown_keys(loader: ConfigLoader, overrides: Sequence[str], kind: str, name: str) -> Iterator[Mistake]:
    result = loader.repository.load_config(f"hydra/{kind}/{name}")
    node = result.config if result is not None else None
    if not isinstance(node, DictConfig) or not str(node.get("_target_")).startswith("hydra_plugins.tlx."):
        return
    prefix = f"hydra.{kind}."
    for override in parsed(overrides):
        key = override.key_or_group
        first = key.removeprefix(prefix).partition(".")[0]
        if key.startswith(prefix) and first not in node:
            known = [str(k) for k in node if k != "_target_"]
            hint = did_you_mean(first, known) or f"known: {', '.join(known)}"
            yield Mistake(key, f"a key of hydra/{kind}={name}", f"'{first}'", hint)


def _search_without_values(overrides: Sequence[str], sweeper: str) -> Iterator[Mistake]:
    typed = [o.value() for o in parsed(overrides) if o.key_or_group == "dataset.val_fraction"]
    if sweeper == "optuna" and typed and typed[-1] == 0:
        expected = "a fraction above 0 with hydra/sweeper=optuna, which compares figures of validation images"
        yield Mistake("dataset.val_fraction", expected, "0", "for example dataset.val_fraction=0.2")


def _one_directory(overrides: Sequence[str]) -> Iterator[Mistake]:
    for override in parsed(overrides):
        value = str(override.value())
        if override.key_or_group in ("run_dir", "run_name") and "${" not in value and count(overrides) != 1:
            hint = f"leave it out: each run has its own name, or type {override.key_or_group}='…${{seed}}'"
            yield Mistake(override.key_or_group, "one for each job", f"'{value}' for several", hint)


def _intervals(overrides: Sequence[str], sweeper: str) -> Iterator[Mistake]:
    for override in parsed(overrides):
        if sweeper == "basic" and override.is_sweep_override() and not override.is_discrete_sweep():
            got = override.input_line or override.key_or_group
            hint = "to search it, add hydra/sweeper=optuna; or list values: a,b,c"
            yield Mistake(override.key_or_group, "values to combine", f"an interval: {got.partition('=')[2]}", hint)


def _is_glob(override: Override) -> bool:
    return type(override.value()).__name__ == "Glob"
