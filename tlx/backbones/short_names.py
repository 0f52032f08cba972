"""Short names of networks of timm; does not import torch or timm."""

from __future__ import annotations

from dataclasses import dataclass

_APACHE, _MIT = "Apache 2.0", "MIT"
_NC = "CC BY-NC 4.0: not for commercial use"
_DINOV3 = "DINOv3 licence: terms of use and of passing on"


@dataclass(frozen=True)
class Short:
    """What a short name stands for.

    Args:
        timm: timm's name of the network, with the tag of its weights.
        millions: Parameters without the classifier, in millions.
        side: Side of the images in pixels.
        licence: Licence of the weights.
    """

    timm: str
    millions: float
    side: int
    licence: str


SHORT: dict[str, Short] = {
    "dinov3_vits16": Short("vit_small_patch16_dinov3.lvd1689m", 21.6, 256, _DINOV3),
    "dinov3_vits16plus": Short("vit_small_plus_patch16_dinov3.lvd1689m", 28.7, 256, _DINOV3),
    "dinov3_vitb16": Short("vit_base_patch16_dinov3.lvd1689m", 85.6, 256, _DINOV3),
    "dinov3_vitl16": Short("vit_large_patch16_dinov3.lvd1689m", 303.1, 256, _DINOV3),
    "dinov3_convnext_tiny": Short("convnext_tiny.dinov3_lvd1689m", 27.8, 224, _DINOV3),
    "dinov3_convnext_small": Short("convnext_small.dinov3_lvd1689m", 49.5, 224, _DINOV3),
    "dinov3_convnext_base": Short("convnext_base.dinov3_lvd1689m", 87.6, 224, _DINOV3),
    "dinov3_convnext_large": Short("convnext_large.dinov3_lvd1689m", 196.2, 224, _DINOV3),
    "dinov2_vits14": Short("vit_small_patch14_dinov2.lvd142m", 22.1, 518, _APACHE),
    "dinov2_vitb14": Short("vit_base_patch14_dinov2.lvd142m", 86.6, 518, _APACHE),
    "dinov2_vitl14": Short("vit_large_patch14_dinov2.lvd142m", 304.4, 518, _APACHE),
    "dinov2_vits14_reg": Short("vit_small_patch14_reg4_dinov2.lvd142m", 22.1, 518, _APACHE),
    "dinov2_vitb14_reg": Short("vit_base_patch14_reg4_dinov2.lvd142m", 86.6, 518, _APACHE),
    "dinov2_vitl14_reg": Short("vit_large_patch14_reg4_dinov2.lvd142m", 304.4, 518, _APACHE),
    "siglip2_vitb16": Short("vit_base_patch16_siglip_224.v2_webli", 92.9, 224, _APACHE),
    "siglip2_vitl16": Short("vit_large_patch16_siglip_256.v2_webli", 316, 256, _APACHE),
    "siglip2_so400m14": Short("vit_so400m_patch14_siglip_224.v2_webli", 427.7, 224, _APACHE),
    "siglip2_naflex_vitb16": Short("naflexvit_base_patch16_siglip.v2_webli", 92.9, 384, _APACHE),
    "siglip2_naflex_so400m16": Short("naflexvit_so400m_patch16_siglip.v2_webli", 427.9, 384, _APACHE),
    "convnextv2_atto": Short("convnextv2_atto.fcmae_ft_in1k", 3.4, 224, _NC),
    "convnextv2_nano": Short("convnextv2_nano.fcmae_ft_in22k_in1k", 15, 224, _NC),
    "convnextv2_tiny": Short("convnextv2_tiny.fcmae_ft_in22k_in1k", 27.9, 224, _NC),
    "convnextv2_base": Short("convnextv2_base.fcmae_ft_in22k_in1k", 87.7, 224, _NC),
    "convnextv2_large": Short("convnextv2_large.fcmae_ft_in22k_in1k", 196.4, 224, _NC),
    "eva02_tiny": Short("eva02_tiny_patch14_336.mim_in22k_ft_in1k", 5.6, 336, _MIT),
    "eva02_small": Short("eva02_small_patch14_336.mim_in22k_ft_in1k", 21.7, 336, _MIT),
    "eva02_base": Short("eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", 86.3, 448, _MIT),
    "eva02_large": Short("eva02_large_patch14_448.mim_m38m_ft_in22k_in1k", 304.1, 448, _MIT),
    "pe_core_vitt16": Short("vit_pe_core_tiny_patch16_384.fb", 6, 384, _APACHE),
    "pe_core_vits16": Short("vit_pe_core_small_patch16_384.fb", 23.6, 384, _APACHE),
    "pe_core_vitb16": Short("vit_pe_core_base_patch16_224.fb", 92.9, 224, _APACHE),
    "pe_core_vitl14": Short("vit_pe_core_large_patch14_336.fb", 316.1, 336, _APACHE),
    "hiera_tiny": Short("hiera_tiny_224.mae_in1k_ft_in1k", 27.1, 224, _NC),
    "hiera_small": Short("hiera_small_224.mae_in1k_ft_in1k", 34.2, 224, _NC),
    "hiera_base": Short("hiera_base_224.mae_in1k_ft_in1k", 50.8, 224, _NC),
    "hiera_large": Short("hiera_large_224.mae_in1k_ft_in1k", 212.6, 224, _NC),
}
