"""What is read from timm's source is what timm says."""

from __future__ import annotations

import timm

from tlx.backbones.timm_source import timm_names, weight_tags


def test_names_and_weights_are_those_of_timm() -> None:
    """Guards against a version of timm that writes its tables in another form, so that weights are missing."""
    right: dict[str, list[str]] = {name: [] for name in timm.list_models()}
    for full in timm.list_pretrained():
        name, _, tag = full.partition(".")
        right[name].append(tag)
    read = weight_tags(timm_names())
    assert timm_names() == set(right)
    assert {name: tags for name, tags in read.items() if tags != sorted(right[name])} == {}
    assert len(right) - len(read) < 30  # computed by timm's code: listed with how to ask timm
