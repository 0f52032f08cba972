"""Register the launchers and sweepers with Hydra.

Hydra loads plugins only from the package `hydra_plugins`, which it scans completely. Instead, tlx registers names in
that package and leaves the classes where they are, so nothing has to be installed in addition to tlx.
"""

from __future__ import annotations

from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin

from tlx.sweeps.grid import GridSweeper
from tlx.sweeps.joblib_launcher import JoblibLauncher
from tlx.sweeps.launcher import BasicLauncher
from tlx.sweeps.optuna_sweeper import OptunaSweeper
from tlx.sweeps.ray_launcher import RayLauncher
from tlx.sweeps.submitit_launcher import LocalLauncher, SlurmLauncher

# Hydra's own options `basic` build these classes instead of Hydra's.
INSTEAD: dict[str, type[Plugin]] = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": BasicLauncher,
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper": GridSweeper,
}
PREFIX = "hydra_plugins.tlx."
OURS: tuple[type[Plugin], ...] = (JoblibLauncher, LocalLauncher, SlurmLauncher, RayLauncher, OptunaSweeper)


def register() -> None:
    """Register them as `_target_: hydra_plugins.tlx.CLASS`; this does not import joblib, Ray, submitit or Optuna."""
    names = {PREFIX + plugin.__name__: plugin for plugin in OURS}
    Plugins.instance().class_name_to_class.update(names | INSTEAD)
