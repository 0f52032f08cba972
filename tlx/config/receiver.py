"""What of a stored configuration its receiver decides: where anything is written, and how much of a machine is taken.

A run directory may come from elsewhere, and nothing in it can prove that it does not. So none of these keys is taken
from it, of a run of one's own neither: they are the defaults, until somebody types others. None changes a result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tlx.config.schema import Cache
from tlx.errors import TlxError

TENSORBOARD = "pytorch_lightning.loggers.TensorBoardLogger"
# Paths that a run reads from, by node.
READ = {"dataset": ("root", "path"), "target": ("root", "path"), "backbone": ("run", "path")}
CROWD = 8  # processes that a run may have started with on a machine with fewer cores


def received(config: Mapping[str, Any], run_dir: str) -> dict[str, Any]:
    """Return a stored configuration, plain values, with the receiver's own in place of whatever says where or how much.

    Args:
        config: From a run directory.
        run_dir: Where that lies now.
    """
    mine = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    mine |= {"run_dir": run_dir, "output_dir": "outputs", "force": False, "logger": _logger(config, run_dir)}
    mine["cache"] = {**mine.get("cache", {}), "dir": None, "max_gb": Cache.max_gb}
    mine["trainer"] |= {"progress_bar": "auto"}
    for part in ("dataset", "target"):
        if mine.get(part) is not None:
            mine[part]["num_workers"] = "auto"
            if "download" in mine[part]:  # into the folder that the configuration names
                mine[part]["download"] = False
    return mine


def _logger(config: Mapping[str, Any], run_dir: str) -> dict[str, Any]:
    """TensorBoard in the run directory, or none where the run had none; no other one, which might send figures away."""
    if config["logger"].get("_target_") is None:
        return {"_target_": None}
    return {"_target_": TENSORBOARD, "save_dir": run_dir, "name": "", "version": "", "default_hp_metric": False}


def not_taken(config: Mapping[str, Any]) -> str:
    """Say which keys of a stored configuration were left where they are; '' where they are the defaults anyway."""
    cache, target = config.get("cache", {}), config["logger"].get("_target_")
    left = [f"cache.{k}={cache[k]}" for k, usual in (("dir", None), ("max_gb", Cache.max_gb)) if cache.get(k) != usual]
    left += [f"logger {target}"] if target not in (None, TENSORBOARD) else []
    return f"not taken from config.yaml: {', '.join(left)}; type what you want of it" if left else ""


def refuse_a_crowd(config: Mapping[str, Any], started: bool) -> None:
    """Refuse more processes than this machine has cores for, and other machines that nobody has started.

    Args:
        config: The configuration, with what was typed.
        started: Whether torchrun or SLURM started this process.

    Raises:
        TlxError: It says what to type.
    """
    trainer = config["trainer"]
    most = max(CROWD, os.cpu_count() or 1)
    devices = trainer["devices"]
    count = len(devices) if isinstance(devices, list) else devices
    if isinstance(count, int) and count > most:
        raise TlxError(f"resume: expected at most {most} processes on this machine, got trainer.devices={count}; type "
                       "trainer.devices=…")  # fmt: skip
    if trainer.get("num_nodes", 1) > 1 and not started:
        raise TlxError(
            f"resume: expected a run of one machine, got trainer.num_nodes={trainer['num_nodes']}; start it by "
            "torchrun or srun on each of them, or type trainer.num_nodes=1"
        )


def paths_read(config: Mapping[str, Any]) -> list[str]:
    """Return the paths that a configuration reads from, as `dataset.root=/data/pets`."""
    nodes = {part: config.get(part) or {} for part in READ}
    return [f"{part}.{key}={nodes[part][key]}" for part, keys in READ.items() for key in keys if nodes[part].get(key)]
