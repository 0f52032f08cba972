"""The rows of benchmarks/speed.py: each is a piece of work, and the peers that do the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

RATES, DECAYS, SEEDS = ("0.001", "0.0003", "0.003", "0.01"), ("0.01", "0.0"), ("0", "1", "2")
TRIALS = [*itertools.product(RATES, DECAYS, SEEDS)]  # the first two differ only in the seed


@dataclass(frozen=True)
class Peer:
    """A peer, and the goal for tlx's speed in comparison with it.

    Args:
        title: Its name in the table.
        goal: The peer's wall time divided by tlx's.
        script: Its script in benchmarks/peers.
        arguments: Arguments of the script besides images, weights and epochs.
        environment: The environment in which it is installed, see benchmarks/environments.py.
    """

    title: str
    goal: float
    script: str = ""
    arguments: tuple[str, ...] = ()
    environment: str = "here"

    @property
    def key(self) -> str:
        """The name of its measurements."""
        return "_".join([Path(self.script).stem, *(a.strip("-") for a in self.arguments)])


@dataclass(frozen=True)
class Row:
    """A piece of work: a strategy of tlx with the epochs of its stages, and the peers that do the same."""

    work: str
    strategy: str
    epochs: tuple[int, ...]
    peers: tuple[Peer, ...]


_PLAIN, _CALLBACKS, _PHASES = "plain_lightning.py", "lightning_finetuning.py", "finetuning_scheduler_peer.py"
_PROBE = (_PLAIN, ("--mode", "probe", "--tuned"))
_FROZEN = ("fastai_peer.py", ("--mode", "frozen"), "fastai")

ROWS = {
    "probe5": Row("linear probe, 5 epochs", "linear_probe", (5,), (Peer("fastai, frozen", 6, *_FROZEN),)),
    "probe20": Row(
        "linear probe, 20 epochs", "linear_probe", (20,),
        (Peer("plain Lightning, tuned", 10, *_PROBE), Peer("fastai, frozen", 20, *_FROZEN)),
    ),
    "last_layers": Row(
        "`last_layers`, 3 + 17 epochs", "last_layers", (3, 17),
        (Peer("plain Lightning, tuned", 2, _PLAIN, ("--mode", "last_layers", "--tuned")),),
    ),
    "gradual": Row(
        "`gradual`, 3 + 5 + 5 epochs", "gradual", (3, 5, 5),
        (
            Peer("Lightning's BackboneFinetuning", 2, _CALLBACKS),
            Peer("Lightning's BaseFinetuning, tuned", 1.3, _CALLBACKS, ("--tuned",)),
            Peer("finetuning-scheduler", 2, _PHASES, (), "finetuning-scheduler"),
            Peer("finetuning-scheduler, tuned", 1.3, _PHASES, ("--tuned",), "finetuning-scheduler"),
        ),
    ),
    "full": Row(
        "`full`, 5 epochs", "full", (5,),
        (Peer("fastai, unfrozen", 1.5, "fastai_peer.py", ("--mode", "full"), "fastai"),),
    ),
    "trials": Row(
        "24 head trials of 20 epochs", "linear_probe", (20,), (Peer("24 x plain Lightning, tuned", 50, *_PROBE),)
    ),
    "extraction": Row("features of 4,000 images", "", (), (Peer("timm's forward", 3, "timm"),)),
}  # fmt: skip
