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
    """Build a named architecture and load a state dict from a file; `report` lists the loaded tensors.

    Args:
        path: A file of safetensors or torch.save with any file name; `load_state` describes the accepted tensor names.
        architecture: A torchvision name, 'timm/NAME', 'efficientnet_lite0', 'small_cnn', or a dict for `build`.
        in_channels: Channels of the images. A first convolution for another number is adapted.
        load: False: only the architecture, with random weights; the file is not read.
        name: Ignored; the name of the configuration node.
        state_key: Key of the weights in the file, such as `state_dict_ema`; None: one of the usual keys.

    Raises:
        TlxError: The file cannot be read, the architecture is unknown, or the weights do not fit.
    """
    node = architecture_of(architecture) if isinstance(architecture, str) else architecture
    backbone = build(node, load=False, in_channels=in_channels)
    if load:
        weights = read_weights(path, state_key)
        backbone.report = load_state(backbone, weights.state, source=str(path))
        backbone.report.notes.extend(weights.notes)
    return backbone
