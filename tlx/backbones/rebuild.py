"""Build a backbone's architecture from a name, or from the plain dict that a run stores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlx.backbones.backbone import Backbone
from tlx.backbones.catalog import SHORT, TORCHVISION
from tlx.base.errors import TlxError, did_you_mean
from tlx.building.nodes import build_node
from tlx.building.safety import OWN_NETWORK, refuse_foreign_targets
from tlx.records.reading import unreadable


def build(architecture: Mapping[str, Any], load: bool = False, in_channels: int | None = None) -> Backbone:
    """Build a backbone from the dict in `Backbone.architecture`.

    Args:
        architecture: `_target_` (one of tlx's own builders) and its arguments.
        load: False: random weights; no file is read and nothing is downloaded.
        in_channels: Channels of the images; None: those of `architecture`.

    Raises:
        TlxError: The dict names no builder of tlx, or its arguments do not fit.
    """
    channels = {} if in_channels is None else {"in_channels": in_channels}
    backbone: Backbone = build_node(architecture, "architecture", load=load, **channels)
    return backbone


def rebuild(architecture: Mapping[str, Any], file: Path, in_channels: int | None = None) -> Backbone:
    """Build the backbone that a run's model.json describes, with random weights.

    Args:
        architecture: As for `build`.
        file: The model.json, for error messages.
        in_channels: As for `build`.

    Raises:
        TlxError: The dict names no builder of tlx, or has arguments that build no network.
    """
    refuse_foreign_targets(architecture, str(file), "architecture")
    try:
        return build(architecture, load=False, in_channels=in_channels)
    except Exception as error:  # a library can raise anything for such arguments
        if isinstance(error, TlxError) and architecture.get("_target_") == OWN_NETWORK:
            raise TlxError(f"{file}: {error}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise unreadable(file, "the architecture of a network", reason[:200]) from error


def architecture_of(name: str) -> dict[str, Any]:
    """Return the dict for `build` from a short name.

    Args:
        name: A torchvision name, 'timm/NAME', a short name of `SHORT`, 'efficientnet_lite0' or 'small_cnn'.

    Raises:
        TlxError: The name is unknown.
    """
    if name in ("efficientnet_lite0", "small_cnn"):
        return {"_target_": f"tlx.backbones.{name}"}
    if name.startswith("timm/"):
        return {"_target_": "tlx.backbones.timm_backbone", "name": name.removeprefix("timm/")}
    if name in SHORT:
        return {"_target_": "tlx.backbones.timm_backbone", "name": SHORT[name].timm}
    if name in TORCHVISION:
        return {"_target_": "tlx.backbones.torchvision_backbone", "name": name}
    known = (*TORCHVISION, *SHORT, "efficientnet_lite0", "small_cnn")
    hint = did_you_mean(name, known)
    raise TlxError(
        f"architecture: expected a torchvision name, timm/NAME, efficientnet_lite0 or small_cnn, got '{name}'; {hint}"
    )
