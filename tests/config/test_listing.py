"""`tlx list`: what it says of options that are not a plain file of conf/."""

from __future__ import annotations

from tlx.config.listing import listing


def test_timm_models_are_listed_with_the_tags_of_their_weights() -> None:
    """Guards against timm's networks being called untrained because their weights have names with tags."""
    (line,) = listing("backbones", "timm/convnext_tiny")
    assert line.startswith("backbone=timm backbone.name=convnext_tiny "), "convnext_tiny alone is torchvision's"
    assert "fb_in22k" in line
    assert listing("backbones", "timm/convnext_tiny.fb_in22k") == ["backbone=convnext_tiny.fb_in22k"]


def test_weights_that_only_timm_knows_are_asked_for() -> None:
    """Guards against a network that is called untrained because the source of timm computes its table of weights."""
    lines = dict(line.split("  ") for line in listing("backbones", "timm/vit_base_patch32_clip*_224"))
    computed = "vit_base_patch32_clip_quickgelu_224"
    assert lines[f"backbone={computed}"] == f"weights: tlx list backbones timm/{computed}"
    assert "openai" in lines["backbone=vit_base_patch32_clip_224"]
    (line,) = listing("backbones", f"timm/{computed}")
    assert "openai" in line


def test_experiments_are_listed_with_their_command() -> None:
    """Guards against Hydra's `@package` line in place of what an experiment is."""
    lines = listing("experiments")
    assert len(lines) >= 3
    assert all(f"experiment={line.split()[0]} " in line for line in lines)


def test_every_set_can_be_a_target_and_images_without_labels_too() -> None:
    """Guards against a target that nobody finds, or one without a word of what it is."""
    lines = {line.split()[0]: line for line in listing("targets")}
    assert {"usps", "plates", "folder", "unlabelled"} <= set(lines)
    assert "any images" in lines["unlabelled"]
    assert "digits from envelopes" in lines["usps"]
    assert set(lines) - {"unlabelled"} == {line.split()[0] for line in listing("datasets")}
