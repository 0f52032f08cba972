"""The shape of a configuration: one dataclass a kind of node, with ranges and choices where they exist.

Nothing here imports torch. A node of conf/ that names one of our own parts by `_target_` is checked against the class
that SCHEMAS gives for it; a node with a target from elsewhere is checked against the signature of that target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


def within(low: float | None = None, high: float | None = None, *, open_low: bool = False) -> dict[str, Any]:
    """Return field metadata for a number in [low, high], or (low, high] with `open_low`."""
    return {"low": low, "high": high, "open_low": open_low}


POSITIVE = within(0, open_low=True)
NOT_NEGATIVE = within(0)
AT_LEAST_1 = within(1)
FRACTION = within(0, 1)


@dataclass
class TorchvisionBackbone:
    """A torchvision classifier without its last layer."""

    _target_: str
    name: str
    weights: str | None = "DEFAULT"


@dataclass
class TimmBackbone:
    """A timm model whose features timm can list."""

    _target_: str
    name: str
    pretrained: bool = True


@dataclass
class SmallCnn:
    """A small convolutional network for small pictures."""

    _target_: str
    name: str = "small_cnn"
    width: int = field(default=32, metadata=AT_LEAST_1)


@dataclass
class RunBackbone:
    """The layer groups of a finished run."""

    _target_: str
    name: str
    run: str


@dataclass
class FileBackbone:
    """A state dict in a file, for a named architecture."""

    _target_: str
    name: str
    path: str
    architecture: str
    state_key: str | None = None


@dataclass
class Dataset:
    """What every data set has."""

    _target_: str
    name: str
    channels: int = field(default=3, metadata=AT_LEAST_1)
    image_size: int | None = field(default=None, metadata=within(8))
    batch_size: int = field(default=32, metadata=AT_LEAST_1)
    num_workers: int | Literal["auto"] = field(default="auto", metadata=NOT_NEGATIVE)
    decode: Literal["reduced", "full"] = "reduced"
    window: list[float] | None = None
    augment: Literal["none", "light", "strong", "affine", "characters", "trivial"] = "light"
    horizontal_flip: bool = True
    val_fraction: float = field(default=0.2, metadata=within(0, 0.9, open_low=True))
    split_seed: int = field(default=0, metadata=NOT_NEGATIVE)
    labels_per_class: int | None = field(default=None, metadata=AT_LEAST_1)
    labels_exact: bool = False
    fraction: float | None = field(default=None, metadata=within(0, 1, open_low=True))
    subset_seed: int = 0
    sampling: Literal["balanced"] | None = None
    check: bool = True
    on_bad: Literal["stop", "skip"] = "stop"


@dataclass
class Digits(Dataset):
    """scikit-learn's digits."""

    classes: list[int] | None = None


@dataclass
class Folder(Dataset):
    """A tree of class folders."""

    classes: list[int | float | str | bool | None] | None = None
    root: str = "???"
    group_pattern: str | None = None
    splits: dict[str, int | str | list[int | str]] | None = None
    test_fraction: float = field(default=0.2, metadata=within(0, 0.9, open_low=True))


@dataclass
class Table(Dataset):
    """A table with a path and a label for each image."""

    classes: list[int | float | str | bool | None] | None = None
    path: str = "???"
    root: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = "split"
    group_column: str | None = None
    extension: str | None = None
    test_fraction: float = field(default=0.2, metadata=within(0, 0.9, open_low=True))


@dataclass
class Arrays(Dataset):
    """Images and labels in one .npz file."""

    classes: list[int | float | str | bool | None] | None = None
    path: str = "???"
    test_fraction: float = field(default=0.2, metadata=within(0, 0.9, open_low=True))


@dataclass
class Characters(Dataset):
    """Characters that are drawn."""

    characters: str | list[int | str] = "digits"
    per_class: int = field(default=300, metadata=AT_LEAST_1)
    draw_seed: int = field(default=0, metadata=NOT_NEGATIVE)
    test_fraction: float = field(default=0.2, metadata=within(0, 0.9, open_low=True))


@dataclass
class Unlabelled(Dataset):
    """Any images below a folder."""

    root: str = "???"


@dataclass
class TorchvisionDataset(Dataset):
    """One of torchvision's data sets."""

    classes: list[int | float | str | bool | None] | None = None
    root: str = "data"
    download: bool = True
    test_fraction: float = field(default=0.2, metadata=within(0, 0.9, open_low=True))


Monitored = Literal[
    "val/accuracy",
    "val/auroc",
    "val/balanced_accuracy",
    "val/f1",
    "val/loss",
    "target/entropy",
    "target/infomax",
]


@dataclass
class Classification:
    """One label an image."""

    _target_: str
    name: str
    num_classes: int | None = field(default=None, metadata=AT_LEAST_1)
    monitor: Monitored = "val/loss"
    mode: Literal["min", "max"] = "min"
    label_smoothing: float = field(default=0.0, metadata=FRACTION)
    dropout: float = field(default=0.0, metadata=FRACTION)
    tile_size: int | None = field(default=None, metadata=within(8))
    tile_overlap: float = field(default=0.0, metadata=within(0, 0.9))
    tile_pool: Literal["mean", "max"] = "mean"
    class_weights: Literal["balanced"] | dict[str, float] | None = field(default=None, metadata=POSITIVE)


@dataclass
class Stage:
    """One stage of a strategy; see docs/strategies.md for each key."""

    name: str
    train: str | list[str]
    epochs: int = field(default=5, metadata=AT_LEAST_1)
    patience: int | None = field(default=None, metadata=AT_LEAST_1)
    lr_scale: float = field(default=1.0, metadata=POSITIVE)
    layer_decay: float | None = field(default=None, metadata=within(0, 1, open_low=True))
    warmup: float = field(default=0.0, metadata=FRACTION)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    batch_norm: Literal["frozen", "adapt", "train"] = "train"
    start_from: Literal["last", "best"] = "last"
    one_group_more: bool = False


@dataclass
class Strategy:
    """A list of stages, run one after another."""

    name: str
    stages: list[Stage]
    reset: bool = False
    adapt: Any = None
    monitor: Monitored | None = None
    groups: str | list[str] | None = None
    folds: int = field(default=5, metadata=within(2))
    scoring: Literal["accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss"] = "accuracy"


@dataclass
class Classifier:
    """A classifier of scikit-learn; further keys go to its class and are checked against that one's signature."""

    _target_: str
    name: str
    scale: bool = True
    search: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class Adaptation:
    """What every way of adapting to a target domain has."""

    _target_: str
    weight: float = field(default=1.0, metadata=NOT_NEGATIVE)
    start: float = field(default=0.0, metadata=within(0, 0.99))
    batch_norm: Literal["separate", "joint"] = "separate"


@dataclass
class AdaBn:
    """BatchNorm statistics of the target; there is nothing to set."""

    _target_: str


@dataclass
class Dan(Adaptation):
    """Maximum mean discrepancy."""

    kernels: int = field(default=5, metadata=AT_LEAST_1)


@dataclass
class Dann(Adaptation):
    """A discriminator of domains."""

    hidden: int = field(default=256, metadata=AT_LEAST_1)
    slope: float = field(default=10.0, metadata=POSITIVE)


@dataclass
class Cdan(Dann):
    """A discriminator that sees predictions, too."""

    entropy: bool = True


@dataclass
class Mcc(Adaptation):
    """Minimum class confusion."""

    temperature: float = field(default=2.5, metadata=POSITIVE)


@dataclass
class SelfTraining(Adaptation):
    """Pseudo-labels."""

    start: float = field(default=0.4, metadata=within(0, 0.99))
    portion_start: float = field(default=0.3, metadata=within(0, 1, open_low=True))
    portion_end: float = field(default=0.9, metadata=within(0, 1, open_low=True))


@dataclass
class Optimizer:
    """An optimizer by name; further keys go to its class and are checked against that one's signature."""

    _target_: str
    lr: float = field(default=1e-3, metadata=POSITIVE)
    weight_decay: float = field(default=0.0, metadata=NOT_NEGATIVE)
    layer_decay: float = field(default=1.0, metadata=within(0, 1, open_low=True))
    group_lr: dict[str, float] = field(default_factory=dict, metadata=NOT_NEGATIVE)
    decay_norm_and_bias: bool = False
    keep_source: float = field(default=0.0, metadata=NOT_NEGATIVE)
    fused: bool | Literal["auto"] = "auto"


@dataclass
class Trainer:
    """How Lightning runs it."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: int | Literal["auto"] | list[int] = field(default="auto", metadata=within(-1))
    num_nodes: int = field(default=1, metadata=AT_LEAST_1)
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"] = "32-true"
    channels_last: bool | Literal["auto"] = True
    compile: bool | Literal["auto"] = False
    sync_batchnorm: bool = False
    gradient_clip_val: float | None = field(default=None, metadata=POSITIVE)
    accumulate_grad_batches: int = field(default=1, metadata=AT_LEAST_1)
    patience: int | None = field(default=None, metadata=AT_LEAST_1)
    stage_epochs: int | None = field(default=None, metadata=AT_LEAST_1)
    limit_batches: int | None = field(default=None, metadata=AT_LEAST_1)
    log_every_n_steps: int = field(default=10, metadata=AT_LEAST_1)
    deterministic: bool = False
    progress_bar: bool | Literal["auto"] = "auto"
    model_summary: bool = False


@dataclass
class Cache:
    """What frozen layer groups give, kept on disk."""

    enabled: bool = True
    views: int = field(default=4, metadata=NOT_NEGATIVE)
    view_seed: int = field(default=0, metadata=NOT_NEGATIVE)
    precision: Literal["training", "bf16"] = "training"
    dir: str | None = None
    max_gb: float = field(default=20.0, metadata=POSITIVE)


@dataclass
class TensorBoard:
    """TensorBoard events; keys that are left out have Lightning's defaults."""

    _target_: str
    save_dir: str
    name: str | None = "lightning_logs"
    version: int | str | None = None
    log_graph: bool = False
    default_hp_metric: bool = True
    prefix: str = ""
    sub_dir: str | None = None
    comment: str = ""
    purge_step: int | None = None
    max_queue: int = field(default=10, metadata=AT_LEAST_1)
    flush_secs: int = field(default=120, metadata=AT_LEAST_1)
    filename_suffix: str = ""


@dataclass
class Experiment:
    """The whole configuration."""

    backbone: Any
    dataset: Any
    task: Any
    strategy: Strategy
    optimizer: Any
    trainer: Trainer
    logger: Any
    cache: Cache = field(default_factory=Cache)
    target: Any = None
    classifier: Any = None
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))
    force: bool = False
    output_dir: str = "outputs"
    run_name: str = ""
    run_dir: str = ""


SCHEMAS: dict[str, type] = {
    "tlx.backbones.torchvision_backbone": TorchvisionBackbone,
    "tlx.backbones.timm_backbone": TimmBackbone,
    "tlx.backbones.efficientnet_lite0": TimmBackbone,
    "tlx.backbones.small_cnn": SmallCnn,
    "tlx.backbones.run_backbone": RunBackbone,
    "tlx.backbones.file_backbone": FileBackbone,
    "tlx.data.digits": Digits,
    "tlx.data.folder": Folder,
    "tlx.data.table": Table,
    "tlx.data.arrays": Arrays,
    "tlx.data.plates": Characters,
    "tlx.data.letters": Characters,
    "tlx.data.torchvision_set": TorchvisionDataset,
    "tlx.data.unlabelled": Unlabelled,
    "tlx.tasks.Classification": Classification,
    "tlx.adaptation.AdaBn": AdaBn,
    "tlx.adaptation.Coral": Adaptation,
    "tlx.adaptation.Dan": Dan,
    "tlx.adaptation.Dann": Dann,
    "tlx.adaptation.Cdan": Cdan,
    "tlx.adaptation.Mcc": Mcc,
    "tlx.adaptation.SelfTraining": SelfTraining,
    "pytorch_lightning.loggers.TensorBoardLogger": TensorBoard,
}
