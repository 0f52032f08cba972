"""List the options of a group, one line each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from textwrap import shorten

from tlx.backbones import catalog as backbone_catalog
from tlx.backbones.timm_source import timm_names, weight_tags
from tlx.base.errors import TlxError, did_you_mean
from tlx.config.compose import conf_dir, options
from tlx.config.leads import listed
from tlx.data.sources.torchvision_table import TORCHVISION

GROUPS = {
    "backbones": "backbone",
    "datasets": "dataset",
    "targets": "target",
    "tasks": "task",
    "strategies": "strategy",
    "validations": "validation",
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
        glob: A glob or a part of a name; `timm/…` for networks of timm, `timm/NAME.TAG` for their weights.
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
    """Yield a line for each network of timm that matches, with the tags of its weights; for `NAME.TAG` one per tag."""
    names, dot, _ = glob.partition(".")
    matching = _matching(sorted(timm_names(), key=_by_number), names)
    tags = weight_tags(matching)
    unknown = [name for name in matching if name not in tags]
    if unknown and (dot or len(unknown) == len(matching)):  # timm has to be imported, which takes seconds
        tags |= _ask_timm(unknown)
    own = {*backbone_catalog.TORCHVISION, *backbone_catalog.SHORT}
    for name in matching:
        if dot:
            yield from (f"backbone={full}" for tag in tags[name] if fnmatch(full := f"{name}.{tag}", glob))
            continue
        note = f"weights: tlx list backbones timm/{name}"
        if name in tags:
            note = ", ".join(filter(None, tags[name])) if tags[name] else "no pretrained weights"
        yield f"backbone={'timm backbone.name=' if name in own else ''}{name}  {note}".rstrip()


def _ask_timm(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of the weights of networks, as `weight_tags` does, from timm itself."""
    import timm

    found: dict[str, list[str]] = {name: [] for name in names}
    for full in timm.list_pretrained():
        name, _, tag = full.partition(".")
        if name in found:
            found[name].append(tag)
    return found


def _by_number(name: str) -> list[str | int]:
    """Return a key that sorts 2 before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


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
