"""Report of the weights loaded into a backbone, tensor by tensor, and the weights of a run above its backbone."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor


@dataclass(frozen=True)
class UpperSource:
    """The layers of a finished run above its backbone. The new task decides which of their weights it takes over.

    Args:
        class_names: Classes of the run, in the order of the rows of its head.
        state: All weights except the backbone's, by their names in the run's network: `head.1.weight`, ….
        task: Name of the run's task.
        kind: Kind of the run's task, see `TaskKind.name`; None: not recorded, as in runs of earlier versions.
        shaped_by: Keys of the run's task that decide the layers of these groups, with their values.
        unfit: Why the new task can take over none of the weights; None: nothing is known against it.
    """

    class_names: list[str]
    state: dict[str, Tensor]
    task: str = "classification"
    kind: str | None = None
    shaped_by: Mapping[str, str] = field(default_factory=dict)
    unfit: str | None = None


@dataclass(frozen=True)
class GroupReport:
    """Loaded and re-initialised tensors of one layer group, by their names in `Backbone.state_dict()`.

    Args:
        loaded: Tensors that were copied: name -> shape.
        reinitialised: Tensors that keep their random values: name -> reason.
    """

    loaded: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reinitialised: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadReport:
    """Loaded, re-initialised and left-over tensors; `str(report)` is a readable table.

    Args:
        source: Where the weights come from, as text.
        groups: Layer group -> report of its tensors, bottom to top.
        left_over: Tensors of the source that the network does not have: name in the source -> shape.
        notes: Further remarks, such as an adapted first convolution.
    """

    source: str
    groups: dict[str, GroupReport] = field(default_factory=dict)
    left_over: dict[str, tuple[int, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def random(self) -> bool:
        """Whether nothing was loaded."""
        return self.source == "random"

    @property
    def num_loaded(self) -> int:
        """Number of tensors that were copied."""
        return sum(len(group.loaded) for group in self.groups.values())

    @property
    def num_reinitialised(self) -> int:
        """Number of tensors that keep their random values."""
        return sum(len(group.reinitialised) for group in self.groups.values())

    def only(self, names: Container[str]) -> LoadReport:
        """Return the report of some tensors, by their names in `Backbone.state_dict()`, and of their layer groups."""
        groups = {}
        for group, each in self.groups.items():
            loaded = {name: shape for name, shape in each.loaded.items() if name in names}
            fresh = {name: why for name, why in each.reinitialised.items() if name in names}
            if loaded or fresh:
                groups[group] = GroupReport(loaded, fresh)
        return replace(self, groups=groups)

    def __str__(self) -> str:
        lines = [f"weights: {self.source}"]
        if self.groups:
            width = max(len("layer group"), *map(len, self.groups))
            lines.append(f"  {'layer group':{width}}  loaded  re-initialised")
            for name, group in self.groups.items():
                lines.append(f"  {name:{width}}  {len(group.loaded):6}  {len(group.reinitialised):14}")
            fresh = {f"{name}: {why}" for group in self.groups.values() for name, why in group.reinitialised.items()}
            lines += _listing("re-initialised", sorted(fresh))
            lines += _listing("left over", [f"{name} {shape}" for name, shape in self.left_over.items()])
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def _listing(title: str, entries: list[str], most: int = 8) -> list[str]:
    """Return a title and one indented line per entry; only the number of entries beyond the first `most`."""
    if not entries:
        return []
    lines = [f"  {title}: {len(entries)}", *(f"    {entry}" for entry in entries[:most])]
    if len(entries) > most:
        lines.append(f"    … and {len(entries) - most} more")
    return lines
