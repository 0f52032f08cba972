"""Facts about loggers, without importing them: which send data to a server, which packages they need, their nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

TENSORBOARD = "pytorch_lightning.loggers.TensorBoardLogger"
CSV = "pytorch_lightning.loggers.CSVLogger"
# Both write only into the run directory.
LOCAL = (CSV, TENSORBOARD)


@dataclass(frozen=True)
class Remote:
    """A logger that may send data to a server. The user allows it by typing its option; a file cannot allow it.

    Args:
        option: Its name in conf/logger.
        package: The package that it needs; tlx's extra has the same name.
        advice: What to do if it cannot start.
    """

    option: str
    package: str
    advice: str


REMOTE = {
    "pytorch_lightning.loggers.WandbLogger": Remote(
        "wandb", "wandb", "type: wandb login, or WANDB_MODE=offline tlx …, or logger=none"
    ),
    "pytorch_lightning.loggers.MLFlowLogger": Remote(
        "mlflow", "mlflow", "check the server that MLFLOW_TRACKING_URI names, or type: logger=none"
    ),
}


def logger_nodes(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the node of each logger by its path: `logger`, or `logger.NAME` for several; {} for `logger=none`."""
    if "_target_" in node:
        return {"logger": node} if node["_target_"] is not None else {}
    return {f"logger.{name}": one for name, one in node.items() if isinstance(one, Mapping)}


def lifted(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a composed logger node in the form that a run stores.

    An option of conf/logger has its keys below its own name, so that Hydra can compose a list of options. A single
    option replaces the whole node, together with keys typed next to it, such as `logger.save_dir=x`.
    """
    inner = {name: one for name, one in node.items() if isinstance(one, Mapping) and "_target_" in one}
    if len(inner) != 1:
        return node
    ((name, only),) = inner.items()
    return {**only, **{key: value for key, value in node.items() if key != name}}


def lacks_package(target: str) -> str:
    """Return the package that a logger needs if it is not installed, otherwise ''."""
    remote = REMOTE.get(target)
    if remote is None:
        return ""
    spec = find_spec(remote.package)
    return "" if spec is not None and spec.origin is not None else remote.package  # a folder `wandb` has no origin
