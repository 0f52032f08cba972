"""Names of a backbone's tensors in the model that its groups were cut from."""

from __future__ import annotations

from torch import Tensor, nn


def original_names(backbone: nn.Module, original: nn.Module) -> dict[str, str]:
    """Return name in `backbone.state_dict()` -> name in `original.state_dict()`, for tensors that both hold.

    They are matched by identity: the backbone's modules are the original's. A name that another tensor's copy could
    have is never guessed.
    """
    names = {id(tensor): name for name, tensor in _tensors(original)}
    return {name: names[id(tensor)] for name, tensor in _tensors(backbone) if id(tensor) in names}


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the tensors that `module.state_dict()` holds, themselves instead of detached copies."""
    return list(module.state_dict(keep_vars=True).items())
