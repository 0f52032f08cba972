"""The chain of runs from which a run starts: the data of each, and the weights that the next one took over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tlx.base.printable import aligned, one_line
from tlx.config.stored import stored_config
from tlx.records.directory import RunDirectory
from tlx.records.files import TESTED
from tlx.tasks.catalog import kind_of

if TYPE_CHECKING:
    from tlx.tasks.module import Task


def carried_over(task: Task) -> dict[str, Any]:
    """Return the origin of a network's initial weights, as plain values.

    `from`: the source in words; `loaded` and `reinitialised`: numbers of tensors; `classes`: classes whose rows of the
    head were taken over.
    """
    report = task.backbone.report
    tensors = len(task.backbone.state_dict())
    if report is None or report.random:
        source, loaded, fresh = "random", 0, tensors
    elif report.groups:
        source, loaded, fresh = report.source, report.num_loaded, report.num_reinitialised
    else:  # a library's weights fit its own network completely
        source, loaded, fresh = report.source, tensors, 0
    return {"from": source, "loaded": loaded, "reinitialised": fresh, "classes": list(task.carried_classes)}


def ancestors(config: DictConfig) -> list[dict[str, Any]]:
    """Return the runs that a configuration starts from, oldest first, as their directories describe them now.

    A run of an old version, which did not record its ancestors, is the first of its chain.
    """
    if config.backbone.get("_target_") != "tlx.backbones.run_backbone" or config.strategy.get("reset"):
        return []
    source = RunDirectory(config.backbone.run)
    own = [summary(source)] if (source.directory / "config.yaml").is_file() else []
    return [*source.description["lineage"], *own]


def summary(run: RunDirectory) -> dict[str, Any]:
    """Return a run's entry of the chain, as plain values."""
    config, description = stored_config(run.directory), run.description
    names = {part: config[part].get("name") for part in ("dataset", "strategy")}
    for part in ("target", "classifier"):
        if config.get(part) is not None:
            names[part] = config[part].get("name")
    headline = kind_of(config.task).headline
    figure = run.metrics.get(headline) if run.finished else None
    own = {"run": Path(run.directory).resolve().name, "identity": description.get("identity"), **names}
    classes = len(description["class_names"])
    return {**own, "classes": classes, headline: figure, "carried": description.get("carried", {})}


def table(run: RunDirectory) -> str:
    """Return the chain of a run as text, one line per run, from the initial weights to the run itself.

    Raises:
        TlxError: There is no such run.
    """
    chain = [*run.description["lineage"], summary(run)]
    headline = _headline(chain[-1])
    heads = ["", "run", "data", "classes", "strategy", headline, "tensors", "head"]
    first = chain[0]["carried"].get("from", "unknown")
    rows = [heads, *([str(i), *map(one_line, _cells(one, headline))] for i, one in enumerate(chain, start=1))]
    lines = aligned(rows, right={3, 5})
    legend = "tensors: carried over from the line above + new ones; head: classes whose rows were carried over, by name"
    return "\n".join([f"initial weights: {one_line(first)}", *lines, legend])


def _headline(one: Mapping[str, Any]) -> str:
    """Return the name of a run's main metric."""
    return next(name for name in one if name.startswith(TESTED))


def _cells(one: Mapping[str, Any], headline: str) -> list[str]:
    data = f"{one['dataset']} to {one['target']}" if one.get("target") else str(one["dataset"])
    strategy = f"{one['strategy']} ({one['classifier']})" if one.get("classifier") else str(one["strategy"])
    own = _headline(one)
    figure = "-" if one[own] is None else f"{one[own]:.4f}"
    if own != headline:  # a run of another task
        figure = f"{own.removeprefix(TESTED)} {figure}"
    carried = one["carried"]
    tensors = f"{carried['loaded']} + {carried['reinitialised']}" if carried else "-"
    return [
        one["run"],
        data,
        str(one["classes"]),
        strategy,
        figure,
        tensors,
        ", ".join(carried.get("classes", [])) or "-",
    ]
