"""Block arguments: what modules of a network take besides the output of the module below, such as rotary embeddings.

They depend on the size of the image, not on its pixels. The first layer group computes them and passes them on with its
output. A run that starts in the middle computes them again, from a blank image of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

BlockArguments = dict[str, tuple[tuple[Any, ...], dict[str, Any]]]  # module -> its positional and keyword arguments


class Carried(NamedTuple):
    """The output of a layer group, and the block arguments of the groups above it."""

    output: Tensor
    arguments: BlockArguments


def plain(output: Tensor | Carried) -> Tensor:
    """Return a group's output, of any shape, without block arguments."""
    return output.output if isinstance(output, Carried) else output


class Section(nn.Module):
    """Modules that run in turn, each with its block arguments.

    Args:
        modules: Name -> module.
        start: Computes the input of the first module and the block arguments of the whole network from images; None:
            the section's input is what the section below carries.
    """

    def __init__(self, modules: dict[str, nn.Module], start: nn.Module | None = None) -> None:
        super().__init__()
        self.start = start
        self.names = list(modules)
        self.layers = nn.ModuleList(modules.values())

    def forward(self, x: Any) -> Carried:
        """Return the output of the last module; `x` is an image (B, C, H, W) for `start`, otherwise `Carried`."""
        output, arguments = (x if isinstance(x, Carried) else Carried(x, {})) if self.start is None else self.start(x)
        for name, layer in zip(self.names, self.layers, strict=True):
            positional, keywords = arguments.get(name, ((), {}))
            output = layer(output, *positional, **keywords)
        return Carried(output, arguments)


class Ending(Section):
    """The modules above the last layer group: to pooled features."""

    def forward(self, x: Any) -> Any:
        """Return the pooled features (B, D)."""
        return plain(super().forward(x))


class Start(nn.Module):
    """The computation before a chain of modules, and the block arguments of the chain.

    Args:
        model: A copy of a timm model in which the chain's modules are replaced by `Recorder`s.
        recorders: These.
    """

    def __init__(self, model: nn.Module, recorders: Sequence[Recorder]) -> None:
        super().__init__()
        self.model = model
        self.calls: BlockArguments = {}
        for recorder in recorders:
            recorder.calls = self.calls

    def forward(self, image: Tensor) -> Carried:
        """Return the input of the chain's first module for images (B, C, H, W), and the chain's block arguments."""
        given: Tensor = self.model.forward_features(image)  # type: ignore[operator]
        found = dict(self.calls)
        self.calls.clear()  # a copy of the network must not hold tensors of a training step
        return Carried(given, found)


class Recorder(nn.Module):
    """The identity, which replaces a module and records its further arguments under its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.calls: BlockArguments = {}

    def forward(self, x: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        """Return the input, of any shape."""
        self.calls[self.name] = (arguments, keywords)
        return x
