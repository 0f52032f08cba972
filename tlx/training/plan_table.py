"""The training plan of a configuration as text; the network is built on the meta device, without weights.

Where boxes decide the size of inputs and the levels of a pyramid, the images are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf

from tlx.backbones.backbone import Backbone
from tlx.backbones.preprocessing import sides as input_size
from tlx.base.errors import TlxError
from tlx.data.box_labels import BoxLabels
from tlx.data.counting import training_images
from tlx.records.settled import AUTO
from tlx.strategies.averaging import averaged_text
from tlx.strategies.folds import count_of_folds, is_kfold
from tlx.strategies.plan import PlannedStage
from tlx.tasks.catalog import kind_of
from tlx.training.epoch_length import EpochLength, epoch_of, epoch_of_images, folds_line, too_short
from tlx.training.memory import memory_line
from tlx.training.planning import NothingDrawn, build_backbone, feature_groups, plan, recomputed_groups

if TYPE_CHECKING:
    from tlx.data.datamodule import ImageDataModule


def stage_table(config: DictConfig, timed: bool = False) -> str:
    """Return a table of the layer groups, their parameters and their learning rates in each stage.

    Args:
        config: The configuration.
        timed: Whether to time a few steps and add how long the training takes, for tasks on maps.
    """
    backbone, kind = _without_memory(config), kind_of(config.task)
    outputs = _outputs(config)
    data, about = None, list[str]()
    if kind.labels == BoxLabels.name or (timed and kind.reads_maps):
        data, about = _loaded(config, backbone)
        outputs = outputs if data is None else data.num_classes
    box_sides = [] if data is None else data.box_sides
    names = [*backbone.group_names, *kind.upper_groups]
    sizes = {g: sum(p.numel() for p in backbone.group_parameters(g)) for g in backbone.group_names}
    with NothingDrawn():
        size = input_size(config.dataset.image_size or backbone.preprocessing.size)
        size = size if data is None else data.preprocessing.height_width
        upper = kind.upper_plan(config.task, backbone, outputs, size, box_sides)
    sizes |= upper.parameters
    remarks = [*upper.remarks, *about]
    total = sum(sizes.values())
    epoch = _epoch(config, data)
    stages = plan(config, names, None if epoch is None else epoch.steps)
    if data is not None:
        remarks += [] if data.canvas is None else data.canvas.describe()
    if epoch is not None:
        short = too_short(config, stages, epoch, kind.upper_groups)
        remarks += [*epoch.describe(stages), *(f"warning: {line}" for line in short)]
        remarks += [folds_line(config, stages, epoch)] if is_kfold(config) else []
    if again := recomputed_groups(config, backbone):
        remarks.append(f"computed again in the backward pass: {', '.join(again)} (trainer.checkpoint_groups)")
    remarks += _memory(config, epoch, backbone, size)
    if config.trainer.get("length") == AUTO and config.trainer.max_minutes is not None:
        limit = f"trainer.max_minutes={config.trainer.max_minutes:g}"
        remarks.append(f"{limit}: if a trial before the first step takes longer, stages have fewer epochs")
    if data is not None and timed and not data.paired:
        from tlx.training.minutes import minutes_line  # it imports Lightning, which takes longer than most plans

        remarks.append(minutes_line(config, data, data.train_dataloader(), stages))

    lines = [
        f"backbone {config.backbone.name}: {total:,} parameters in {len(names)} layer groups, "
        f"head {kind.described(backbone, outputs)}",
        f"strategy {config.strategy.name}, optimizer {config.optimizer._target_}, weight decay "
        f"{config.optimizer.weight_decay}, dataset {config.dataset.name}",
        *([f"left out: {', '.join(backbone.left_out)}; the task reads maps"] if backbone.left_out else []),
        "",
    ]
    name_width = max(len("layer group"), *(len(n) for n in names))
    size_width = max(len("parameters"), len(f"{total:,}"))
    columns = [max(9, len(s.name)) for s in stages]
    header = f"{'layer group':<{name_width}}  {'parameters':>{size_width}}"
    lines.append(header + "".join(f"  {s.name:>{w}}" for s, w in zip(stages, columns, strict=True)))
    for group in reversed(names):  # the head at the top
        cells = [f"{s.peak_lr[s.trained.index(group)]:.2e}" if group in s.trained else "frozen" for s in stages]
        row = f"{group:<{name_width}}  {sizes[group]:>{size_width},}"
        lines.append(row + "".join(f"  {c:>{w}}" for c, w in zip(cells, columns, strict=True)))
    for label, values in _footers(stages, sizes, config.trainer.get("average_weights")):
        row = f"{label:<{name_width}}  {'':>{size_width}}"
        lines.append(row + "".join(f"  {v:>{w}}" for v, w in zip(values, columns, strict=True)))
    return "\n".join(line.rstrip() for line in [*lines, *([""] if remarks else []), *remarks])


def feature_table(config: DictConfig) -> str:
    """Return the features that a classifier reads, and how its parameters are selected, as text."""
    backbone, classes = _without_memory(config), _outputs(config)
    names = [*backbone.group_names, *kind_of(config.task).upper_groups]
    total = sum(p.numel() for p in backbone.parameters())
    groups = feature_groups(config, names)
    last = backbone.group_names[-1]
    widths = {name: backbone.num_features if name == last else backbone.channels[name] for name in groups}
    search = ", ".join(f"{key} {list(values)}" for key, values in config.classifier.get("search", {}).items())
    folds = f"{search}, by {config.strategy.folds}-fold cross-validation on train ({config.strategy.scoring})"
    return "\n".join(
        [
            f"backbone {config.backbone.name}: {total:,} parameters in {len(backbone.group_names)} layer groups, "
            "all frozen",
            f"strategy {config.strategy.name}, dataset {config.dataset.name}",
            f"features: {' + '.join(f'{name} {width:,}' for name, width in widths.items())} = {sum(widths.values()):,}",
            f"classifier {config.classifier.name} ({config.classifier._target_}) of "
            f"{classes or 'as many classes as the data set has'}{' classes' if classes else ''}",
            f"chosen: {folds if search else 'nothing'}",
            *(
                [f"{count_of_folds(config)} folds, a classifier for each (validation=kfold)"]
                if is_kfold(config)
                else []
            ),
        ]
    )


def _loaded(config: DictConfig, backbone: Backbone) -> tuple[ImageDataModule | None, list[str]]:
    """Return the images of a configuration, None if they cannot be used; and lines that say why."""
    nodes = [node for node in (config.dataset, config.get("target")) if node is not None]
    if any(node.get("download") for node in nodes):
        return None, ["size of the input and minutes: not known until the images are downloaded"]
    here = config.copy()
    OmegaConf.update(here, "dataset.num_workers", 0, force_add=True)  # a plan starts no processes
    from tlx.training.experiment import load_data

    try:
        return load_data(here, backbone), []
    except TlxError as error:
        return None, [f"size of the input and minutes: not known: {error}"]


def _epoch(config: DictConfig, data: ImageDataModule | None) -> EpochLength | None:
    """Return the length of an epoch, from loaded images or from their number; None: the images are not here yet."""
    if data is not None:
        return epoch_of(config, data)
    if kind_of(config.task).reads_maps:  # how many crops of them an epoch draws is known once they are loaded
        return None
    node: Any = OmegaConf.to_container(config.dataset, resolve=True)
    if is_kfold(config):
        node |= {"folds": config.validation.folds, "fold": 1}
    images = training_images(node)
    try:
        return None if images is None else epoch_of_images(config, images)
    except TlxError:  # the devices are not those of this machine
        return None


def _memory(config: DictConfig, epoch: EpochLength | None, backbone: Backbone, size: tuple[int, int]) -> list[str]:
    try:
        return [memory_line(config, None if epoch is None else epoch.images, backbone, size)]
    except TlxError:  # the devices are not those of this machine
        return []


def _without_memory(config: DictConfig) -> Backbone:
    with torch.device("meta"), NothingDrawn():
        return build_backbone(config, load=False)


def _outputs(config: DictConfig) -> int | None:
    """Return the number of outputs of the head, None if it is unknown before the data set is loaded."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return kind_of(plain["task"]).outputs(plain["task"], plain["dataset"])


def _footers(
    stages: list[PlannedStage], sizes: dict[str, int], average: float | str | None
) -> list[tuple[str, list[str]]]:
    averaged = [] if average is None else [("averaged", [averaged_text(average)] * len(stages))]
    return [
        ("trained", [_short(sum(sizes[g] for g in s.trained)) for s in stages]),
        ("epochs", [str(s.epochs) for s in stages]),
        ("patience", ["-" if s.patience is None else str(s.longer(s.patience)) for s in stages]),
        ("schedule", [s.schedule for s in stages]),
        ("warm-up", [f"{s.warmup:.0%}" for s in stages]),
        ("batch norm", [s.batch_norm for s in stages]),
        ("starts from", ["-" if i == 0 else s.start_from for i, s in enumerate(stages)]),
        *averaged,
    ]


def _short(count: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)
