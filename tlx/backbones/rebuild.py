"""A backbone's architecture from a name or from the plain dict that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlx.backbones.backbone import Backbone
from tlx.backbones.catalog import TORCHVISION
from tlx.errors import TlxError, did_you_mean

# What a dict from a file may name; nothing else is ever imported or called.
_BUILDERS = ("torchvision_backbone", "timm_backbone", "efficientnet_lite0", "small_cnn")


def build(architecture: Mapping[str, Any], load: bool = False, in_channels: int | None = None) -> Backbone:
    """Build a backbone from the dict that `Backbone.architecture` holds.

    Args:
        architecture: `_target_` (one of tlx's own builders) and its arguments.
        load: False: random weights, no file is read and nothing downloaded.
        in_channels: Channels of the images, where they are not those of `architecture`.

    Raises:
        TlxError: The dict names no builder of tlx, or its arguments do not fit.
    """
    arguments = dict(architecture)
    target = str(arguments.pop("_target_", ""))
    builder = target.removeprefix("tlx.backbones.")
    if builder not in _BUILDERS:
        valid = ", ".join(f"tlx.backbones.{name}" for name in _BUILDERS)
        raise TlxError(f"architecture: expected a _target_ of {valid}, got '{target}'")
    if in_channels is not None:
        arguments["in_channels"] = in_channels
    import tlx.backbones

    try:
        return getattr(tlx.backbones, builder)(**arguments, load=load)
    except TypeError as error:
        raise TlxError(f"architecture: expected the arguments of {target}, got {arguments}: {error}") from error


def architecture_of(name: str) -> dict[str, Any]:
    """Return the dict for `build` of a short name.

    Args:
        name: A torchvision name, 'timm/NAME', 'efficientnet_lite0' or 'small_cnn'.

    Raises:
        TlxError: The name is unknown.
    """
    if name in ("efficientnet_lite0", "small_cnn"):
        return {"_target_": f"tlx.backbones.{name}"}
    if name.startswith("timm/"):
        return {"_target_": "tlx.backbones.timm_backbone", "name": name.removeprefix("timm/")}
    if name in TORCHVISION:
        return {"_target_": "tlx.backbones.torchvision_backbone", "name": name}
    known = (*TORCHVISION, "efficientnet_lite0", "small_cnn")
    hint = did_you_mean(name, known)
    raise TlxError(
        f"architecture: expected a torchvision name, timm/NAME, efficientnet_lite0 or small_cnn, got '{name}'; {hint}"
    )
