"""Names of a backbone's tensors in the model that its groups were cut from."""

from __future__ import annotations

from torch import nn


def tensor_names(model: nn.Module) -> dict[int, str]:
    """Return identity -> name of the tensors in `model.state_dict()`; call it before the model is taken apart."""
    return {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}


def original_names(backbone: nn.Module, names: dict[int, str]) -> dict[str, str]:
    """Return name in `backbone.state_dict()` -> name in the original, for tensors that both have.

    Tensors are matched by identity, because the backbone consists of the original's modules; names are never guessed.

    Args:
        backbone: A network built from the original's modules.
        names: `tensor_names` of the original.
    """
    own = backbone.state_dict(keep_vars=True)
    return {name: names[id(tensor)] for name, tensor in own.items() if id(tensor) in names}
