"""What is known of loggers without importing one: which send figures away, what they need, where their nodes stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

TENSORBOARD = "pytorch_lightning.loggers.TensorBoardLogger"
CSV = "pytorch_lightning.loggers.CSVLogger"
# Both write where the run is and nowhere else.
LOCAL = (CSV, TENSORBOARD)


@dataclass(frozen=True)
class Remote:
    """A logger that may send figures away: a file that names it is no permission, typing its option is.

    Args:
        option: Its name in conf/logger.
        package: The package that it needs; the extra of tlx has the same name.
        advice: What to do where it cannot begin.
    """

    option: str
    package: str
    advice: str


REMOTE = {
    "pytorch_lightning.loggers.WandbLogger": Remote(
        "wandb", "wandb", "type: wandb login, or WANDB_MODE=offline tlx …, or logger=none"
    ),
    "pytorch_lightning.loggers.MLFlowLogger": Remote(
        "mlflow", "mlflow", "see to the server that MLFLOW_TRACKING_URI names, or type: logger=none"
    ),
}


def logger_nodes(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the node of each logger by its place: `logger`, or `logger.NAME` of several; nothing of `logger=none`."""
    if "_target_" in node:
        return {"logger": node} if node["_target_"] is not None else {}
    return {f"logger.{name}": one for name, one in node.items() if isinstance(one, Mapping)}


def lifted(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a composed logger node in the form that a run stores.

    An option of conf/logger stands below its own name, so that Hydra composes a list of them. What is there alone
    takes the place of the whole; a key beside it is its key: `logger.save_dir=x`.
    """
    inner = {name: one for name, one in node.items() if isinstance(one, Mapping) and "_target_" in one}
    if len(inner) != 1:
        return node
    ((name, only),) = inner.items()
    return {**only, **{key: value for key, value in node.items() if key != name}}


def lacks_package(target: str) -> str:
    """Return the package that a logger needs and that is not installed; '' where nothing is missing."""
    remote = REMOTE.get(target)
    if remote is None:
        return ""
    spec = find_spec(remote.package)
    return "" if spec is not None and spec.origin is not None else remote.package  # a folder `wandb` has no origin
