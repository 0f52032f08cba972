"""The plan of a run: stages x layer groups x learning rates, as plain values. Needs no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tlx.strategies.selectors import HEAD, select


@dataclass(frozen=True)
class PlannedStage:
    """One stage, with every selector resolved.

    Args:
        name: Its name in logs and plots.
        trained: Layer groups that train, bottom to top.
        peak_lr: Highest learning rate of each trained group, in the order of `trained`.
        epochs: Longest duration, in epochs.
        patience: Epochs without a better monitored value after which the stage ends early, as the strategy names them:
            see `longer`; None: never.
        warmup: Fraction of the stage's steps in which the rate rises linearly from near zero.
        schedule: `constant`, `linear` or `cosine`, from the end of the warm-up to the end of the stage.
        batch_norm: `train`: BatchNorm statistics of trained groups move; `frozen`: none move; `adapt`: all move.
        start_from: Weights at the start of the stage: the `last` or the `best` ones of the previous stage.
        named_epochs: The epochs that the strategy names; `epochs` is more if these make fewer than `min_steps` steps.
        min_steps: Optimizer steps that the stage makes at least, unless `stage_epochs` ends it before.
    """

    name: str
    trained: tuple[str, ...]
    peak_lr: tuple[float, ...]
    epochs: int
    patience: int | None
    warmup: float
    schedule: str
    batch_norm: str
    start_from: str
    named_epochs: int
    min_steps: int

    def longer(self, epochs: int) -> int:
        """Return the epochs of this stage that a number of epochs as the strategy names them comes to, rounded up.

        A strategy means thousands of images: its epochs have many steps. For a small set, `min_steps` makes a stage of
        15 epochs one of 84 short ones, and patience that was a fifth of the stage has to remain a fifth of it.
        """
        return -(-epochs * self.epochs // self.named_epochs)

    def as_named(self, epochs: int) -> int:
        """Return the epochs as the strategy names them that have ended after so many epochs of this stage."""
        return epochs * self.named_epochs // self.epochs

    def rate(self, group: str, step: int, steps: int) -> float:
        """Return the learning rate of `group` for optimizer step `step` of `steps` in this stage; 0 where frozen.

        A pure function: no state is carried from step to step, so a resumed run has the same rates.
        """
        return self.rates(step, steps).get(group, 0.0)

    def rates(self, step: int, steps: int) -> dict[str, float]:
        """Return the learning rates of the groups that train, for optimizer step `step` of `steps` in this stage."""
        factor = schedule_factor(self.schedule, self.warmup, step, steps)
        return {group: peak * factor for group, peak in zip(self.trained, self.peak_lr, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def schedule_factor(schedule: str, warmup: float, step: int, steps: int) -> float:
    """Return the fraction of the peak learning rate, in (0, 1], for step `step` (from 0) of `steps`.

    With w warm-up steps, the first step has 1/w of the peak; the last step is above zero. So no step is wasted.
    Cosine: Loshchilov & Hutter, SGDR (2017), equation 5, without restarts.
    """
    warm = math.ceil(warmup * steps)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(steps - warm, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "linear":
        return 1 - done
    return 1.0


def plan_stages(
    strategy: Mapping[str, Any],
    optimizer: Mapping[str, Any],
    names: Sequence[str],
    stage_epochs: int | None = None,
    upper: Sequence[str] = (HEAD,),
    steps: int | None = None,
    length: float = 1.0,
) -> list[PlannedStage]:
    """Resolve a strategy for the layer groups `names` (bottom to top, the head last).

    Args:
        strategy: A composed strategy node.
        optimizer: A composed optimizer node: `lr`, `layer_decay`, `group_lr`.
        names: All layer groups.
        stage_epochs: Most epochs of a stage; None: as in the strategy.
        upper: The groups above the backbone.
        steps: Optimizer steps of an epoch; None: unknown, and `min_steps` lengthens no stage.
        length: The fraction of the epochs of each stage that are trained, rounded down, but at least one.

    Raises:
        SelectorError: A selector of a stage or of `group_lr` matches no layer group.

    Examples:
        >>> from tlx.strategies.plan import plan_stages
        >>> strategy = {"stages": [{"name": "probe", "train": "head", "epochs": 2}, {"name": "full", "train": "all"}]}
        >>> probe, full = plan_stages(strategy, {"lr": 0.1, "layer_decay": 0.5}, ["stem", "stage1", "head"])
        >>> probe.trained, probe.peak_lr, probe.epochs
        (('head',), (0.1,), 2)
        >>> full.trained, full.peak_lr, full.epochs
        (('stem', 'stage1', 'head'), (0.025, 0.05, 0.1), 5)
    """
    stages: list[PlannedStage] = []
    for spec in strategy["stages"]:
        for name, trained in _expand(spec, names, upper):
            decay = spec.get("layer_decay") or optimizer.get("layer_decay", 1.0)
            rates = group_rates(names, optimizer["lr"], decay, optimizer.get("group_lr") or {}, upper)
            named, least = int(spec.get("epochs", 5)), int(spec.get("min_steps", 0))
            epochs = named if steps is None else max(named, math.ceil(least / steps))
            most = math.inf if stage_epochs is None else stage_epochs
            stages.append(
                PlannedStage(
                    name=name,
                    trained=trained,
                    peak_lr=tuple(rates[g] * spec.get("lr_scale", 1.0) for g in trained),
                    epochs=max(1, math.floor(min(epochs, most) * length)),
                    patience=spec.get("patience"),
                    warmup=spec.get("warmup", 0.0),
                    schedule=spec.get("schedule", "cosine"),
                    batch_norm=spec.get("batch_norm", "train"),
                    start_from=spec.get("start_from", "last"),
                    named_epochs=int(min(named, most)),
                    min_steps=least,
                )
            )
    return stages


def group_rates(
    names: Sequence[str],
    lr: float,
    layer_decay: float,
    group_lr: Mapping[str, float],
    upper: Sequence[str] = (HEAD,),
) -> dict[str, float]:
    """Return the base learning rate of every layer group.

    The groups above the backbone have `lr`; each group below has `layer_decay` times the rate of the one above.
    `group_lr` overrides these with absolute rates by selector; later entries override earlier ones, but `head`, which
    selects all groups above the backbone, does not override one that has an entry of its own.
    """
    below = [name for name in names if name not in upper]
    rates = dict.fromkeys(names, lr)
    rates |= {name: lr * layer_decay ** (depth + 1) for depth, name in enumerate(reversed(below))}
    for selector, rate in group_lr.items():
        for name in select(names, selector, upper):
            if selector == name or selector != HEAD or name not in group_lr:
                rates[name] = float(rate)
    return rates


def _expand(spec: Mapping[str, Any], names: Sequence[str], upper: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return names and groups of the stages of an entry: one, or with `one_group_more` one per group, from the top.

    The groups above the backbone count as one.
    """
    chosen = select(names, spec["train"], upper)
    if not spec.get("one_group_more", False):
        return [(spec["name"], chosen)]
    starts = [i for i in range(len(chosen) - 1, -1, -1) if i == 0 or chosen[i - 1] not in upper]
    return [(f"{spec['name']}_{HEAD if chosen[i] in upper else chosen[i]}", chosen[i:]) for i in starts]


def frozen_prefix(stage: PlannedStage, names: Sequence[str], upper: Sequence[str] = (HEAD,)) -> tuple[str, ...]:
    """Return the groups below the lowest trained one, whose outputs do not change in this stage."""
    prefix = []
    for name in names:
        if name in stage.trained or name in upper:
            break
        prefix.append(name)
    return tuple(prefix)
