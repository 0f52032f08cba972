"""Private names of timm: what its networks compute between their modules, which no public method gives alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def with_positions(model: Any, x: Tensor) -> Any:
    """Return what a network makes of its embedded patches by adding their positions.

    Args:
        model: Hiera, or the encoder of the vision tower of DeepSeek or Qwen.
        x: Embedded patches, (B, N, C) of Hiera, otherwise (B, h, w, C).

    Returns:
        The patches (B, N, C); of an encoder the rotary embedding as well, None if it has none.
    """
    return model._pos_embed(x)


def encoded_by_gemma(encoder: Any, x: Tensor, positions: Tensor, padding: Tensor | None) -> Tensor:
    """Return what the blocks of Gemma 4's encoder make of embedded patches (B, N, C), as (B, N, C).

    Args:
        encoder: The encoder.
        x: The patches.
        positions: Their positions in the image (B, N, 2).
        padding: Which patches are padding (B, N); None: none.
    """
    output: Tensor = encoder._encode(x, positions, padding)
    return output
