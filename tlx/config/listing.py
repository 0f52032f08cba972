"""List the options of a group, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from textwrap import shorten

from tlx.backbones import catalog as backbone_catalog
from tlx.base.errors import TlxError, did_you_mean
from tlx.config.compose import conf_dir, options
from tlx.config.leads import listed, timm_names
from tlx.data.sources.torchvision_table import TORCHVISION

GROUPS = {
    "backbones": "backbone",
    "datasets": "dataset",
    "targets": "target",
    "tasks": "task",
    "strategies": "strategy",
    "classifiers": "classifier",
    "optimizers": "optimizer",
    "trainers": "trainer",
    "loggers": "logger",
    "caches": "cache",
    "experiments": "experiment",
}
LINE = 110  # characters


def overview(config_dir: str | None = None) -> list[str]:
    """Return one line for each group, with as many of its options as fit."""
    width = max(map(len, GROUPS))
    return [
        f"{what:<{width}}  {shorten(', '.join(options(group, config_dir)), LINE - width, placeholder=' …')}"
        for what, group in GROUPS.items()
    ]


def listing(what: str, glob: str = "*", config_dir: str | None = None) -> list[str]:
    """Return lines `NAME  description` for the options of a group.

    Args:
        what: The name of the group, plural or singular: `backbones`, `datasets`, …
        glob: A glob or a part of a name. `timm/…` imports timm, which takes seconds.
        config_dir: A directory of the user's own options.

    Raises:
        TlxError: The group is unknown, or nothing matches.
    """
    what = listed(what)
    group = GROUPS.get(what, what)
    if group not in GROUPS.values():
        raise TlxError(f"expected something to list, got '{what}': {did_you_mean(what, [*GROUPS, 'runs'])}")
    if group == "backbone" and glob.startswith("timm/"):
        lines = list(_timm(glob.removeprefix("timm/")))
    else:
        every = options(group, config_dir)
        names = _matching(every, glob)
        if group == "backbone" and not names and (of_timm := _matching(sorted(timm_names()), glob)):
            return [*(f"backbone={n}" for n in of_timm), f"# weights: tlx list {what} 'timm/{glob}'"]
        width = max((len(n) for n in names), default=0)
        lines = [f"{n:<{width}}  {_describe(group, n, config_dir)}".rstrip() for n in names]
        if group == "backbone" and glob != "*" and set(names) & set(backbone_catalog.SHORT):
            lines.append(f"# more of timm: tlx list {what} 'timm/{glob}'")
    if not lines:
        raise TlxError(f"expected a glob that matches {what}, got '{glob}'; list all: tlx list {what}")
    return lines


def timm_matching(glob: str) -> list[str]:
    """Return the names of timm's networks that match `timm/GLOB`, or GLOB; [] for `*`.

    Raises:
        TlxError: None matches.
    """
    names = _matching(sorted(timm_names()), glob.removeprefix("timm/"))
    if glob != "*" and not names:
        raise TlxError(f"expected a glob that matches networks of timm, got '{glob}'")
    return [] if glob == "*" else names


def _matching(names: Iterable[str], glob: str) -> list[str]:
    """Return the names that match a glob, or that contain it if none does and it has no wildcards."""
    names = list(names)
    wider = f"*{glob}*" if not set(glob) & set("*?[") else glob
    return [n for n in names if fnmatch(n, glob)] or [n for n in names if fnmatch(n.lower(), wider.lower())]


def _timm(glob: str) -> Iterator[str]:
    import timm

    own = {*backbone_catalog.TORCHVISION, *backbone_catalog.SHORT}
    weights: dict[str, list[str]] = {}  # network -> tags of its pretrained weights
    for full in timm.list_pretrained():
        name, _, tag = full.partition(".")
        weights.setdefault(name, []).append(tag)
        if "." in glob and fnmatch(full, glob):
            yield f"backbone={full}"
    for name in timm.list_models(glob):
        note = ", ".join(filter(None, weights[name])) if name in weights else "no pretrained weights"
        yield f"backbone={'timm backbone.name=' if name in own else ''}{name}  {note}".rstrip()


def _describe(group: str, name: str, config_dir: str | None) -> str:
    if group == "target" and not (conf_dir() / group / f"{name}.yaml").is_file():
        group = "dataset"  # the same data sets
    for directory in (conf_dir(), Path(config_dir).expanduser() if config_dir else None):
        file = directory / group / f"{name}.yaml" if directory else None
        if file is not None and file.is_file():
            return _comment(file.read_text(encoding="utf-8"))
    if group == "backbone" and name in (*backbone_catalog.TORCHVISION, *backbone_catalog.SHORT):
        return backbone_catalog.description(name)
    if group == "dataset" and name in TORCHVISION:
        return TORCHVISION[name].title
    return ""


def _comment(text: str) -> str:
    """Return the description in the first line of a file, after Hydra's `# @package`."""
    lines = [line for line in text.splitlines() if not line.startswith("# @package")]
    return lines[0].removeprefix("#").strip() if lines else ""
