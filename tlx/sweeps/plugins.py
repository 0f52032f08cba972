"""Make the launchers and sweepers known to Hydra.

Hydra takes plugins from the package `hydra_plugins` alone, which it scans with everything in it. Their names are put in
there, the classes stay where they are: nothing has to be installed twice, or beside tlx.
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

# Hydra's own options `basic` build what stands here instead of its own classes.
INSTEAD: dict[str, type[Plugin]] = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": BasicLauncher,
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper": GridSweeper,
}
PREFIX = "hydra_plugins.tlx."
OURS: tuple[type[Plugin], ...] = (JoblibLauncher, LocalLauncher, SlurmLauncher, RayLauncher, OptunaSweeper)


def register() -> None:
    """Let `_target_: hydra_plugins.tlx.CLASS` name them; importing them imports none of their packages."""
    names = {PREFIX + plugin.__name__: plugin for plugin in OURS}
    Plugins.instance().class_name_to_class.update(names | INSTEAD)
