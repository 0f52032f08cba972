"""Keys of a stored configuration that its receiver decides: where files are written, and how many resources are used.

A run directory may come from elsewhere, and nothing in it can prove its origin. So these keys are never read from it,
not even from the user's own run: they have their defaults unless the user types others. None changes a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tlx.base.errors import TlxError
from tlx.base.machine import most_processes
from tlx.building.loggers import TENSORBOARD, logger_nodes
from tlx.config.schema import Cache

# Paths that a run reads from, by node.
READ = {"dataset": ("root", "path"), "target": ("root", "path"), "backbone": ("run", "path")}


def received(config: Mapping[str, Any], run_dir: str) -> dict[str, Any]:
    """Return a stored configuration, plain values, with the receiver's places and resources.

    Args:
        config: From a run directory.
        run_dir: The current path of that directory.
    """
    mine = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    mine |= {"run_dir": run_dir, "output_dir": "outputs", "force": False, "logger": _logger(config, run_dir)}
    mine["cache"] = {**mine.get("cache", {}), "dir": None, "max_gb": Cache.max_gb}
    mine["trainer"] |= {"progress_bar": "auto"}
    for part in ("dataset", "target"):
        if mine.get(part) is not None:
            mine[part]["num_workers"] = "auto"
            if "download" in mine[part]:  # would write into a folder that the configuration names
                mine[part]["download"] = False
    return mine


def _logger(config: Mapping[str, Any], run_dir: str) -> dict[str, Any]:
    """Return TensorBoard in the run directory, or no logger if the run had none. Others might upload data."""
    if not logger_nodes(config["logger"]):
        return {"_target_": None}
    return {"_target_": TENSORBOARD, "save_dir": run_dir, "name": "", "version": "", "default_hp_metric": False}


def not_taken(config: Mapping[str, Any]) -> str:
    """Return a message with the keys of a stored configuration that are not used; '' if all have their defaults."""
    cache = config.get("cache", {})
    targets = [str(node.get("_target_")) for node in logger_nodes(config["logger"]).values()]
    left = [f"cache.{k}={cache[k]}" for k, usual in (("dir", None), ("max_gb", Cache.max_gb)) if cache.get(k) != usual]
    left += [f"logger {target}" for target in targets if target != TENSORBOARD]
    return f"not taken from config.yaml: {', '.join(left)}; type those that you want" if left else ""


def refuse_a_crowd(config: Mapping[str, Any], started: bool) -> None:
    """Refuse more processes than this machine has cores for, and several machines if no launcher started them.

    Args:
        config: The configuration, with the overrides that were typed.
        started: Whether torchrun or SLURM started this process.

    Raises:
        TlxError: Too many processes or machines; the message says what to type.
    """
    trainer = config["trainer"]
    most = most_processes()
    devices = trainer["devices"]
    count = len(devices) if isinstance(devices, list) else devices
    if isinstance(count, int) and count > most:
        raise TlxError(f"resume: expected at most {most} processes on this machine, got trainer.devices={count}; type "
                       "trainer.devices=…")  # fmt: skip
    if trainer.get("num_nodes", 1) > 1 and not started:
        raise TlxError(
            f"resume: expected a run of one machine, got trainer.num_nodes={trainer['num_nodes']}; start it with "
            "torchrun or srun on each machine, or type trainer.num_nodes=1"
        )


def paths_read(config: Mapping[str, Any]) -> list[str]:
    """Return the input paths of a configuration, as `dataset.root=/data/pets`."""
    nodes = {part: config.get(part) or {} for part in READ}
    return [f"{part}.{key}={nodes[part][key]}" for part, keys in READ.items() for key in keys if nodes[part].get(key)]


def find_paths(config: DictConfig, started: Path) -> None:
    """Resolve relative paths that do not exist here against the directory in which the run was started, in place.

    Args:
        config: The configuration of a run.
        started: The working directory of its last start.
    """
    for part, keys in READ.items():
        node = config.get(part)
        for key in keys if isinstance(node, DictConfig) else ():
            path = node.get(key)
            if isinstance(path, str) and not Path(path).expanduser().exists() and (started / path).exists():
                node[key] = str(started / path)
