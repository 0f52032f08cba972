"""What tlx uses of timm's networks beyond their documentation is still there."""

from __future__ import annotations

import pytest
import timm
import torch

from tlx.base.compat import timm as compat

SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2}


def test_hiera_adds_positions_to_its_patches():
    """Guards against another method of that name."""
    model = timm.create_model("hiera_tiny_224", img_size=64, embed_dim=16, stages=(1, 1, 1, 1)).eval()
    with torch.no_grad():
        patches = model.patch_embed(torch.zeros(1, 3, 64, 64))
        assert compat.with_positions(model, patches).shape == patches.shape


@pytest.mark.parametrize(("name", "size"), [("deepseek_vit_412m", 56), ("qwen3_vit_88m", 64)])
def test_encoders_add_positions_and_give_their_rotary_embedding(name, size):
    """Guards against another number of results."""
    model = timm.create_model(name, img_size=size, **SMALL).eval()
    with torch.no_grad():
        x = model.encoder.patch_embed(torch.zeros(1, 3, size, size))
        tokens, _ = compat.with_positions(model.encoder, x)
    assert tokens.shape == (1, x.shape[1] * x.shape[2], x.shape[3])


def test_gemma_encodes_patches():
    """Guards against other arguments of its encoder."""
    model = timm.create_model("gemma4_vit_167m", img_size=64, head_dim=16, intermediate_size=64, **SMALL).eval()
    with torch.no_grad():
        x, positions, padding = model.encoder.patch_embed(torch.zeros(1, 3, 64, 64))
        assert compat.encoded_by_gemma(model.encoder, x, positions, padding).shape == x.shape
