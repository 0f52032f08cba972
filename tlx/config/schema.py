"""The schema of a configuration: one dataclass for each kind of node, with ranges and choices.

Nothing here imports torch. A node whose `_target_` is part of tlx is checked against its class in SCHEMAS, a dataset
node against the keys of its source (`tlx.data.catalog`), and a node with another target against its signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tlx.adaptation.keys import ADAPTATIONS
from tlx.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from tlx.base.fields import (
    AT_LEAST_1,
    EPOCHS,
    FOLDER,
    FRACTION,
    NAME,
    NOT_NEGATIVE,
    PART_OF_A_PATH,
    PLACE,
    POSITIVE,
    RATE,
    SEED,
    within,
)
from tlx.tasks.catalog import KINDS


@dataclass
class TorchvisionBackbone:
    """A torchvision classifier without its last layer."""

    _target_: str
    name: str = field(metadata=NAME)
    weights: str | None = "DEFAULT"


@dataclass
class TimmBackbone:
    """A timm model that supports timm's feature extraction."""

    _target_: str
    name: str = field(metadata=NAME)
    pretrained: bool = True


@dataclass
class SmallCnn:
    """A small convolutional network for small images."""

    _target_: str
    name: str = field(default="small_cnn", metadata=NAME)
    width: int = field(default=32, metadata=within(1, 100_000))


@dataclass
class OwnBackbone:
    """The layer groups that a user's function returns."""

    _target_: str
    target: str
    name: str = field(default="own", metadata=NAME)
    options: dict[str, Any] = field(default_factory=dict)
    size: int = field(default=224, metadata=within(1, 100_000))
    mean: list[float] = field(default_factory=lambda: [*IMAGENET_MEAN])
    std: list[float] = field(default_factory=lambda: [*IMAGENET_STD])


@dataclass
class RunBackbone:
    """The layer groups of a finished run."""

    _target_: str
    name: str = field(metadata=NAME)
    run: str


@dataclass
class FileBackbone:
    """A state dict in a file, for the named architecture."""

    _target_: str
    name: str = field(metadata=NAME)
    path: str
    architecture: str
    state_key: str | None = None


@dataclass
class Stage:
    """One stage of a strategy; see docs/strategies.md for each key."""

    name: str = field(metadata=NAME)
    train: str | list[str]
    epochs: int = field(default=5, metadata=EPOCHS)
    min_steps: int = field(default=0, metadata=within(0, 1_000_000_000))
    patience: int | None = field(default=None, metadata=AT_LEAST_1)
    lr_scale: float = field(default=1.0, metadata=within(0, 1_000_000, open_low=True))
    layer_decay: float | None = field(default=None, metadata=within(0, 1, open_low=True))
    warmup: float = field(default=0.0, metadata=FRACTION)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    batch_norm: Literal["frozen", "adapt", "train"] = "train"
    start_from: Literal["last", "best"] = "last"
    one_group_more: bool = False


@dataclass
class Strategy:
    """A list of stages, run one after another."""

    name: str = field(metadata=NAME)
    stages: list[Stage]
    reset: bool = False
    adapt: Any = None
    monitor: str | None = None
    groups: str | list[str] | None = None
    folds: int = field(default=5, metadata=within(2, 1000))
    scoring: str = "accuracy"


@dataclass
class Validation:
    """How images that do not train are chosen: one split, or folds in turn."""

    name: Literal["split", "kfold"] = "split"
    folds: int = field(default=5, metadata=within(2, 1000))
    repeats: int = field(default=1, metadata=within(1, 1000))


@dataclass
class Classifier:
    """A classifier of scikit-learn; further keys are passed to its class and checked against its signature."""

    _target_: str
    name: str = field(metadata=NAME)
    scale: bool = True
    search: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class Optimizer:
    """An optimizer; further keys are passed to its class and checked against its signature."""

    _target_: str
    lr: float = field(default=1e-3, metadata=within(0, 1000, open_low=True))
    weight_decay: float = field(default=0.0, metadata=RATE)
    layer_decay: float = field(default=1.0, metadata=within(0, 1, open_low=True))
    group_lr: dict[str, float] = field(default_factory=dict, metadata=RATE)
    decay_norm_and_bias: bool = False
    keep_source: float = field(default=0.0, metadata=within(0, 1_000_000))
    fused: bool | Literal["auto"] = "auto"


@dataclass
class Trainer:
    """How Lightning trains: devices, precision, limits."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: int | Literal["auto"] | list[int] = field(default="auto", metadata=within(-1, 1024))
    num_nodes: int = field(default=1, metadata=within(1, 10_000))
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"] = "32-true"
    channels_last: bool | Literal["auto"] = True
    compile: bool | Literal["auto"] = False
    sync_batchnorm: bool = False
    checkpoint_groups: str | list[str] | None = None
    gradient_clip_val: float | None = field(default=None, metadata=POSITIVE)
    accumulate_grad_batches: int = field(default=1, metadata=AT_LEAST_1)
    keep: Literal["auto", "best", "last"] = "auto"
    average_weights: float | Literal["ema"] | None = field(default=None, metadata=within(0, 0.5, open_low=True))
    validate_every: int | Literal["auto"] = field(default="auto", metadata=AT_LEAST_1)
    patience: int | None = field(default=None, metadata=AT_LEAST_1)
    stage_epochs: int | None = field(default=None, metadata=EPOCHS)
    max_minutes: float | None = field(default=None, metadata=POSITIVE)
    length: float | Literal["auto"] | None = field(default=None, metadata=within(0, 1, open_low=True))
    limit_batches: int | None = field(default=None, metadata=AT_LEAST_1)
    log_every_n_steps: int = field(default=10, metadata=AT_LEAST_1)
    checkpoint_seconds: float = field(default=10.0, metadata=NOT_NEGATIVE)
    deterministic: bool = False
    progress_bar: bool | Literal["auto"] = "auto"
    model_summary: bool = False


@dataclass
class Cache:
    """Cache on disk for the outputs of frozen layer groups, and for decoded images."""

    enabled: bool = True
    views: int = field(default=4, metadata=within(0, 10_000))
    view_seed: int = field(default=0, metadata=SEED)
    precision: Literal["training", "bf16"] = "training"
    dir: str | None = field(default=None, metadata=FOLDER)
    max_gb: float = field(default=20.0, metadata=POSITIVE)


@dataclass
class TensorBoard:
    """TensorBoard events; omitted keys have Lightning's defaults."""

    _target_: str
    save_dir: str = field(metadata=FOLDER)
    name: str | None = field(default="lightning_logs", metadata=PART_OF_A_PATH)
    version: int | str | None = field(default=None, metadata=NOT_NEGATIVE | PART_OF_A_PATH)
    log_graph: bool = False
    default_hp_metric: bool = True
    prefix: str = field(default="", metadata=PART_OF_A_PATH)
    sub_dir: str | None = field(default=None, metadata=PART_OF_A_PATH)
    comment: str = field(default="", metadata=PART_OF_A_PATH)
    purge_step: int | None = None
    max_queue: int = field(default=10, metadata=AT_LEAST_1)
    flush_secs: int = field(default=120, metadata=AT_LEAST_1)
    filename_suffix: str = field(default="", metadata=PART_OF_A_PATH)


@dataclass
class Csv:
    """One CSV file of all logged metrics, one row for each call."""

    _target_: str
    save_dir: str = field(metadata=FOLDER)
    name: str | None = field(default="lightning_logs", metadata=PART_OF_A_PATH)
    version: int | str | None = field(default=None, metadata=NOT_NEGATIVE | PART_OF_A_PATH)
    prefix: str = field(default="", metadata=PART_OF_A_PATH)
    flush_logs_every_n_steps: int = field(default=100, metadata=AT_LEAST_1)


@dataclass
class Wandb:
    """A run of Weights & Biases; `version` is its id, with which tlx resumes it."""

    _target_: str
    project: str | None = None
    name: str | None = None
    save_dir: str = field(default=".", metadata=FOLDER)
    version: str | None = field(default=None, metadata=PART_OF_A_PATH)
    offline: bool = False
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: list[str] | None = None
    prefix: str = field(default="", metadata=PART_OF_A_PATH)
    settings: dict[str, Any] | None = None


@dataclass
class MlFlow:
    """A run of MLflow, on a server or in files."""

    _target_: str
    experiment_name: str = "lightning_logs"
    run_name: str | None = None
    tracking_uri: str | None = None
    tags: dict[str, Any] | None = None
    save_dir: str = field(default="./mlruns", metadata=FOLDER)
    prefix: str = field(default="", metadata=PART_OF_A_PATH)
    artifact_location: str | None = None
    run_id: str | None = None
    synchronous: bool | None = None


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
    validation: Validation = field(default_factory=Validation)
    target: Any = None
    classifier: Any = None
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))
    force: bool = False
    output_dir: str = field(default="outputs", metadata=PLACE)
    run_name: str = field(default="", metadata=PLACE)
    run_dir: str = field(default="", metadata=PLACE)


SCHEMAS: dict[str, type] = {
    "tlx.backbones.torchvision_backbone": TorchvisionBackbone,
    "tlx.backbones.timm_backbone": TimmBackbone,
    "tlx.backbones.efficientnet_lite0": TimmBackbone,
    "tlx.backbones.small_cnn": SmallCnn,
    "tlx.backbones.own_backbone": OwnBackbone,
    "tlx.backbones.run_backbone": RunBackbone,
    "tlx.backbones.file_backbone": FileBackbone,
    **{target: kind.schema for target, kind in KINDS.items() if kind.schema is not None},
    **ADAPTATIONS,
    "pytorch_lightning.loggers.TensorBoardLogger": TensorBoard,
    "pytorch_lightning.loggers.CSVLogger": Csv,
    "pytorch_lightning.loggers.WandbLogger": Wandb,
    "pytorch_lightning.loggers.MLFlowLogger": MlFlow,
}
