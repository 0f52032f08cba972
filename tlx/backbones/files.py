"""A backbone whose weights come from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlx.backbones.backbone import Backbone
from tlx.backbones.loading import load_state
from tlx.backbones.rebuild import architecture_of, build
from tlx.backbones.state_files import read_weights


def file_backbone(
    path: str,
    architecture: str | Mapping[str, Any],
    in_channels: int = 3,
    load: bool = True,
    name: str = "file",
    state_key: str | None = None,
) -> Backbone:
    """Build a named architecture and fill it from a state dict; `report` says what fitted.

    Args:
        path: A file of safetensors or torch.save, whatever it is called; see `load_state` for the names that fit.
        architecture: A torchvision name, 'timm/NAME', 'efficientnet_lite0', 'small_cnn', or a dict for `build`.
        in_channels: Channels of the images; a first convolution for others is adapted.
        load: False: only the architecture, with random weights; the file is not read.
        name: Without effect: the name of the configuration's node.
        state_key: Under which of the file's keys the weights lie, such as `state_dict_ema`; None: the usual ones.

    Raises:
        TlxError: The file cannot be read, the architecture is unknown, or nothing fits.
    """
    described = architecture_of(architecture) if isinstance(architecture, str) else architecture
    backbone = build(described, load=False, in_channels=in_channels)
    if load:
        held = read_weights(path, state_key)
        backbone.report = load_state(backbone, held.state, source=str(path))
        backbone.report.notes.extend(held.notes)
    return backbone
