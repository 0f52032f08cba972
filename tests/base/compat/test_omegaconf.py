"""What tlx uses of OmegaConf beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from tlx.base.compat.omegaconf import has_values, raw_node, reference

CONFIG = OmegaConf.create(
    {"seed": 1, "again": "${seed}", "node": {"a": 1}, "nothing": None, "there": "${node}", "list": ["${seed}", 2]}
)


def test_a_reference_is_read_as_it_was_typed():
    """Guards against a message about a reference that names its value, or fails for there is none."""
    assert reference(CONFIG, "again") == "${seed}"
    assert reference(CONFIG.list, 0) == "${seed}"
    assert reference(OmegaConf.create({"a": "${missing}"}), "a") == "${missing}"


def test_nodes_are_found_without_resolving_them():
    """Guards against references that are followed, in a circle perhaps, where only nodes are looked at."""
    assert isinstance(raw_node(CONFIG, "node"), DictConfig)
    assert raw_node(CONFIG, "again") != 1
    assert has_values(raw_node(CONFIG, "node"))
    assert has_values(raw_node(CONFIG, "list"))
    for key in ("seed", "again", "there", "nothing"):
        assert not has_values(raw_node(CONFIG, key)), key
    assert not has_values(OmegaConf.create({"a": DictConfig(None)})._get_node("a"))
    assert not has_values({"a": 1})
