"""What a configuration would train: stages x layer groups x parameters x learning rates, without weights or images."""

from __future__ import annotations

import logging
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch.overrides import TorchFunctionMode

from tlx.backbones.backbone import Backbone
from tlx.base.errors import ConfigError
from tlx.building.nodes import build_node
from tlx.data.catalog import source_of
from tlx.strategies.checks import check_plan
from tlx.strategies.plan import PlannedStage, plan_stages
from tlx.strategies.selectors import HEAD, select

log = logging.getLogger("tlx")


def build_backbone(config: DictConfig, load: bool = True) -> Backbone:
    """Build the backbone of a configuration, with its weights unless `load` is false or the strategy starts afresh."""
    load = load and not config.strategy.get("reset", False)
    backbone: Backbone = build_node(config.backbone, "backbone", in_channels=config.dataset.channels, load=load)
    return backbone


def plan(config: DictConfig, names: list[str]) -> list[PlannedStage]:
    """Resolve the strategy of a checked configuration for layer groups, bottom to top, the head last.

    Raises:
        ConfigError: A selector matches nothing, or a stage trains nothing; for backbones whose layer groups only the
            built network tells, this is where it shows.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    mistakes = check_plan(plain["strategy"], plain["optimizer"], names)
    if mistakes:
        raise ConfigError(mistakes)
    return plan_stages(plain["strategy"], plain["optimizer"], names, config.trainer.stage_epochs)


def feature_groups(config: DictConfig, names: list[str]) -> tuple[str, ...]:
    """Return the layer groups whose pooled outputs a classifier reads, bottom to top.

    Args:
        config: With a classifier.
        names: All layer groups, bottom to top, the head last.

    Raises:
        ConfigError: A selector matches nothing, or the head alone.
    """
    plain: Any = OmegaConf.to_container(config.strategy, resolve=True)
    mistakes = check_plan(plain, {}, names)
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(name for name in select(names, plain["groups"]) if name != HEAD)


def plan_table(config: DictConfig) -> str:
    """Return the plan as text; builds the network on the meta device: no memory, no download.

    Examples:
        >>> import tlx
        >>> from tlx.training.planning import plan_table
        >>> print(plan_table(tlx.compose(["backbone=small_cnn", "dataset=digits", "strategy=lp_ft"])))
        backbone small_cnn: 242,474 parameters in 5 layer groups, head 128 -> 10
        strategy lp_ft, optimizer torch.optim.AdamW, weight decay 0.01, dataset digits
        <BLANKLINE>
        layer group  parameters      probe   finetune
        head              1,290   1.00e-03   1.00e-04
        stage3          147,712     frozen   1.00e-04
        stage2           73,984     frozen   1.00e-04
        stage1           18,560     frozen   1.00e-04
        stem                928     frozen   1.00e-04
        trained                       1.3k     242.5k
        epochs                           6          9
        patience                         -          -
        schedule                    cosine     cosine
        warm-up                         0%        10%
        batch norm                  frozen     frozen
        starts from                      -       best
    """
    with torch.device("meta"), NothingDrawn():
        backbone = build_backbone(config, load=False)
    names = [*backbone.group_names, HEAD]
    sizes = {g: sum(p.numel() for p in backbone.group_parameters(g)) for g in backbone.group_names}
    plain: Any = OmegaConf.to_container(config, resolve=True)
    classes = config.task.get("num_classes") or source_of(plain["dataset"]).num_classes()
    sizes[HEAD] = (backbone.num_features + 1) * classes if classes else 0
    total = sum(sizes.values())
    if config.get("classifier") is not None:
        return _features_table(config, backbone, names, total - sizes[HEAD], classes)
    stages = plan(config, names)

    lines = [
        f"backbone {config.backbone.name}: {total:,} parameters in {len(names)} layer groups, "
        f"head {backbone.num_features} -> {classes or 'not known before the data set is there'}",
        f"strategy {config.strategy.name}, optimizer {config.optimizer._target_}, weight decay "
        f"{config.optimizer.weight_decay}, dataset {config.dataset.name}",
        "",
    ]
    name_width = max(len("layer group"), *(len(n) for n in names))
    size_width = max(len("parameters"), len(f"{total:,}"))
    columns = [max(9, len(s.name)) for s in stages]
    header = f"{'layer group':<{name_width}}  {'parameters':>{size_width}}"
    lines.append(header + "".join(f"  {s.name:>{w}}" for s, w in zip(stages, columns, strict=True)))
    for group in reversed(names):  # the head at the top, as in a drawing of the network
        cells = [f"{s.peak_lr[s.trained.index(group)]:.2e}" if group in s.trained else "frozen" for s in stages]
        row = f"{group:<{name_width}}  {sizes[group]:>{size_width},}"
        lines.append(row + "".join(f"  {c:>{w}}" for c, w in zip(cells, columns, strict=True)))
    for label, values in _footers(stages, sizes):
        row = f"{label:<{name_width}}  {'':>{size_width}}"
        lines.append(row + "".join(f"  {v:>{w}}" for v, w in zip(values, columns, strict=True)))
    return "\n".join(line.rstrip() for line in lines)


def _features_table(config: DictConfig, backbone: Backbone, names: list[str], total: int, classes: int | None) -> str:
    groups = feature_groups(config, names)
    last = backbone.group_names[-1]
    widths = {name: backbone.num_features if name == last else backbone.channels[name] for name in groups}
    search = ", ".join(f"{key} {list(values)}" for key, values in config.classifier.get("search", {}).items())
    folds = f"{search}, by {config.strategy.folds}-fold cross-validation on train ({config.strategy.scoring})"
    return "\n".join(
        [
            f"backbone {config.backbone.name}: {total:,} parameters in {len(names) - 1} layer groups, all frozen",
            f"strategy {config.strategy.name}, dataset {config.dataset.name}",
            f"features: {' + '.join(f'{name} {width:,}' for name, width in widths.items())} = {sum(widths.values()):,}",
            f"classifier {config.classifier.name} ({config.classifier._target_}) of "
            f"{classes or 'as many classes as the data set has'}{' classes' if classes else ''}",
            f"chosen: {folds if search else 'nothing'}",
        ]
    )


class NothingDrawn(TorchFunctionMode):
    """Leaves initial weights undrawn: on the meta device that would import a compiler, which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is torch.Tensor.normal_ or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _footers(stages: list[PlannedStage], sizes: dict[str, int]) -> list[tuple[str, list[str]]]:
    return [
        ("trained", [_short(sum(sizes[g] for g in s.trained)) for s in stages]),
        ("epochs", [str(s.epochs) for s in stages]),
        ("patience", [str(s.patience or "-") for s in stages]),
        ("schedule", [s.schedule for s in stages]),
        ("warm-up", [f"{s.warmup:.0%}" for s in stages]),
        ("batch norm", [s.batch_norm for s in stages]),
        ("starts from", ["-" if i == 0 else s.start_from for i, s in enumerate(stages)]),
    ]


def _short(count: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
