"""Names of the backbones that tlx can build and of their layer groups; does not import torch."""

from __future__ import annotations

from tlx.backbones.short_names import SHORT
from tlx.base.errors import TlxError, did_you_mean

# Parameters of the original model with its classifier, in millions; side of the default weights' input, in pixels.
_FACTS: dict[str, tuple[float, int]] = {
    "alexnet": (61.1, 224),
    "convnext_base": (88.6, 224),
    "convnext_large": (197.8, 224),
    "convnext_small": (50.2, 224),
    "convnext_tiny": (28.6, 224),
    "densenet121": (8.0, 224),
    "densenet161": (28.7, 224),
    "densenet169": (14.1, 224),
    "densenet201": (20.0, 224),
    "efficientnet_b0": (5.3, 224),
    "efficientnet_b1": (7.8, 240),
    "efficientnet_b2": (9.1, 288),
    "efficientnet_b3": (12.2, 300),
    "efficientnet_b4": (19.3, 380),
    "efficientnet_b5": (30.4, 456),
    "efficientnet_b6": (43.0, 528),
    "efficientnet_b7": (66.3, 600),
    "efficientnet_v2_l": (118.5, 480),
    "efficientnet_v2_m": (54.1, 480),
    "efficientnet_v2_s": (21.5, 384),
    "mnasnet0_5": (2.2, 224),
    "mnasnet0_75": (3.2, 224),
    "mnasnet1_0": (4.4, 224),
    "mnasnet1_3": (6.3, 224),
    "mobilenet_v2": (3.5, 224),
    "mobilenet_v3_large": (5.5, 224),
    "mobilenet_v3_small": (2.5, 224),
    "regnet_x_16gf": (54.3, 224),
    "regnet_x_1_6gf": (9.2, 224),
    "regnet_x_32gf": (107.8, 224),
    "regnet_x_3_2gf": (15.3, 224),
    "regnet_x_400mf": (5.5, 224),
    "regnet_x_800mf": (7.3, 224),
    "regnet_x_8gf": (39.6, 224),
    "regnet_y_128gf": (644.8, 384),
    "regnet_y_16gf": (83.6, 224),
    "regnet_y_1_6gf": (11.2, 224),
    "regnet_y_32gf": (145.0, 224),
    "regnet_y_3_2gf": (19.4, 224),
    "regnet_y_400mf": (4.3, 224),
    "regnet_y_800mf": (6.4, 224),
    "regnet_y_8gf": (39.4, 224),
    "resnet101": (44.5, 224),
    "resnet152": (60.2, 224),
    "resnet18": (11.7, 224),
    "resnet34": (21.8, 224),
    "resnet50": (25.6, 224),
    "resnext101_32x8d": (88.8, 224),
    "resnext101_64x4d": (83.5, 224),
    "resnext50_32x4d": (25.0, 224),
    "shufflenet_v2_x0_5": (1.4, 224),
    "shufflenet_v2_x1_0": (2.3, 224),
    "shufflenet_v2_x1_5": (3.5, 224),
    "shufflenet_v2_x2_0": (7.4, 224),
    "squeezenet1_0": (1.2, 224),
    "squeezenet1_1": (1.2, 224),
    "swin_b": (87.8, 224),
    "swin_s": (49.6, 224),
    "swin_t": (28.3, 224),
    "swin_v2_b": (87.9, 256),
    "swin_v2_s": (49.7, 256),
    "swin_v2_t": (28.4, 256),
    "vgg11": (132.9, 224),
    "vgg11_bn": (132.9, 224),
    "vgg13": (133.0, 224),
    "vgg13_bn": (133.1, 224),
    "vgg16": (138.4, 224),
    "vgg16_bn": (138.4, 224),
    "vgg19": (143.7, 224),
    "vgg19_bn": (143.7, 224),
    "vit_b_16": (86.6, 224),
    "vit_b_32": (88.2, 224),
    "vit_h_14": (633.5, 518),
    "vit_l_16": (304.3, 224),
    "vit_l_32": (306.5, 224),
    "wide_resnet101_2": (126.9, 224),
    "wide_resnet50_2": (68.9, 224),
}

#: Every supported torchvision model, by torchvision's name.
TORCHVISION: tuple[str, ...] = tuple(_FACTS)

__all__ = ["SHORT", "TORCHVISION", "VECTORS", "description", "family", "group_names", "input_side", "takes_one_size"]

_PYRAMID = ("stem", "stage1", "stage2", "stage3", "stage4")
VECTORS = ("dense",)  # layer groups of these networks that give vectors, not maps
_BLOCKS = ("block1", "block2", "block3", "block4", "block5", "dense")

# (prefix of the name, title, layer groups from bottom to top); the first matching prefix applies.
_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("alexnet", "AlexNet (2012)", _BLOCKS),
    ("vgg", "VGG (2014)", _BLOCKS),
    ("wide_resnet", "Wide ResNet (2016)", _PYRAMID),
    ("resnext", "ResNeXt (2016)", _PYRAMID),
    ("resnet", "ResNet (2015)", _PYRAMID),
    ("densenet", "DenseNet (2016)", _PYRAMID),
    ("squeezenet", "SqueezeNet (2016)", _PYRAMID[:4]),
    ("shufflenet_v2", "ShuffleNet V2 (2018)", _PYRAMID[:4]),
    ("mnasnet", "MNASNet (2018)", _PYRAMID),
    ("mobilenet_v2", "MobileNet V2 (2018)", _PYRAMID),
    ("mobilenet_v3", "MobileNet V3 (2019)", (*_PYRAMID, "dense")),
    ("efficientnet_v2", "EfficientNet V2 (2021)", _PYRAMID),
    ("efficientnet_b", "EfficientNet (2019)", _PYRAMID),
    ("regnet", "RegNet (2020)", _PYRAMID),
    ("vit", "Vision Transformer (2020)", _PYRAMID),
    ("swin_v2", "Swin Transformer V2 (2021)", _PYRAMID),
    ("swin", "Swin Transformer (2021)", _PYRAMID),
    ("convnext", "ConvNeXt (2022)", _PYRAMID),
)

_OTHER_GROUPS: dict[str, tuple[str, ...]] = {
    "efficientnet_lite0": _PYRAMID,
    "small_cnn": ("stem", "stage1", "stage2", "stage3"),
}

_OTHER_DESCRIPTIONS: dict[str, str] = {
    "efficientnet_lite0": "EfficientNet-Lite0 (2020), 4.7 M parameters, 224 px, ImageNet, works offline",
    "small_cnn": "four convolution groups with BatchNorm for small images, 32 px, no pretrained weights",
    "timm": "any timm model whose features timm can list: backbone.name=NAME",
    "own": "your own network: backbone.target=FUNCTION",
    "run": "the layer groups of a finished run: backbone.run=DIRECTORY",
    "file": "weights in a file (safetensors, torch.save): backbone.path=FILE backbone.architecture=NAME",
}


def group_names(name: str) -> tuple[str, ...]:
    """Return the layer groups of a backbone, bottom to top, without the head.

    Args:
        name: A name of `TORCHVISION`, 'efficientnet_lite0' or 'small_cnn'.

    Raises:
        TlxError: The name is unknown, or its groups depend on a model or file (timm, run, file).
    """
    if name in _OTHER_GROUPS:
        return _OTHER_GROUPS[name]
    return _family(name)[2]


def family(name: str) -> str:
    """Return the prefix that names the family of a torchvision model, such as 'resnet' for 'resnet50'."""
    return _family(name)[0]


def description(name: str) -> str:
    """Return a one-line description of a backbone: family, size, input side."""
    if name in _OTHER_DESCRIPTIONS:
        return _OTHER_DESCRIPTIONS[name]
    if name in SHORT:
        short = SHORT[name]
        return f"{short.millions:g} M parameters, {short.side} px, timm {short.timm}, {short.licence}"
    title = _family(name)[1]
    millions, side = _FACTS[name]
    return f"{title}, {millions:g} M parameters, {side} px, torchvision"


def input_side(name: str) -> int | None:
    """Return the side of a backbone's square input in pixels; None if it is known only after building (timm, run)."""
    if name in _FACTS:
        return _FACTS[name][1]
    if name in SHORT:
        return SHORT[name].side
    return {"efficientnet_lite0": 224, "small_cnn": 32}.get(name)


def takes_one_size(name: str) -> bool:
    """Return whether a torchvision network takes images of its own size only."""
    return name.startswith("vit")


def _family(name: str) -> tuple[str, str, tuple[str, ...]]:
    if name in _FACTS:
        for entry in _FAMILIES:
            if name.startswith(entry[0]):
                return entry
    known = (*TORCHVISION, *_OTHER_GROUPS)
    hint = did_you_mean(name, known)
    raise TlxError(f"backbone: expected the name of a backbone, got '{name}'" + (f"; {hint}" if hint else ""))
