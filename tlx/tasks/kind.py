"""What is known of a task before torch is imported. Only the standard library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tlx.base.errors import Mistake
from tlx.strategies.selectors import HEAD

Node = Mapping[str, Any]


class Widths(Protocol):
    """How wide the outputs of a backbone are: the inputs of what stands on it."""

    num_features: int  # of the pooled output of the last layer group

    @property
    def channels(self) -> Mapping[str, int]:
        """Channels of the output of each layer group."""


class TaskKind(ABC):
    """The half of a task without torch: its keys, its mistakes, what may select, what stands on the backbone.

    Attributes:
        schema: The dataclass that its node is checked against; None: any keys.
        upper_groups: The layer groups above the backbone, bottom to top.
        monitors: The figures by which weights may be selected; (): any.
        scorings: What a classical classifier may be chosen by, in scikit-learn's names; (): it has no use for one.
        gives_class_scores: Whether its output is a score for each class (B, K), which some adaptations compare.
        headline: The figure of the test split that lists and tables show first.
        compared: The figures by which a tool that compares runs may sort them.
    """

    schema: type | None = None
    upper_groups: tuple[str, ...] = (HEAD,)
    monitors: tuple[str, ...] = ()
    scorings: tuple[str, ...] = ()
    gives_class_scores: bool = False
    headline: str = "test/loss"
    compared: tuple[str, ...] = ("val/loss", "test/loss")

    @abstractmethod
    def mistakes(self, task: Node, dataset: Node) -> Iterator[Mistake]:
        """Yield what is wrong with a task for a data set; both nodes are well formed by themselves."""

    @abstractmethod
    def outputs(self, task: Node, dataset: Node | None = None) -> int | None:
        """Return the number of outputs of the head, None where only loading the data set says it.

        Args:
            task: A composed node.
            dataset: Another; None: only what the task itself says.
        """

    @abstractmethod
    def upper_parameters(self, task: Node, widths: Widths, outputs: int | None) -> dict[str, int]:
        """Return the number of parameters of each upper group; 0 where the number of outputs is not known."""

    @abstractmethod
    def described(self, widths: Widths, outputs: int | None) -> str:
        """Return the shape of the head in words, such as `512 -> 10`."""
