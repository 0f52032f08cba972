"""What tlx uses of Hydra beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

import copy
import os
from types import SimpleNamespace

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from tlx.base.compat.hydra import ConfigLoader, apply_overrides, compose_faster


def test_the_loader_knows_the_options_of_a_group(tmp_path):
    """Guards against hints without the options that there are."""
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "sgd.yaml").write_text("lr: 1\n")
    before = GlobalHydra.instance().hydra
    try:
        GlobalHydra.instance().clear()
        initialize_config_dir(str(tmp_path), version_base="1.3")
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoader)
        assert loader.repository.get_group_options("optimizer", ObjectType.CONFIG) == ["sgd"]
        loader.repository.initialize_sources(loader.get_search_path())
    finally:
        GlobalHydra.instance().hydra = before


def test_overrides_of_values_are_applied_to_a_configuration():
    """Guards against jobs of a sweep that all have the values of the first one."""
    config = OmegaConf.create({"lr": 0.1, "node": {"a": 1}})
    parse = OverridesParser.create().parse_overrides
    apply_overrides(parse(["lr=0.2", "+node.b=[1,2]", "++node.a=3"]), config)
    assert config == {"lr": 0.2, "node": {"a": 3, "b": [1, 2]}}


def test_a_sweeper_makes_the_grid_and_asks_before_each_batch(tmp_path):
    """Guards against a sweep that composes every job once more than needed, or leaves combinations out."""
    Plugins.instance()  # as in a sweep: this module is imported first, then Hydra looks for plugins
    from tlx.base.compat.hydra import BasicSweeper

    asked, launched = [], []

    class Sweeper(BasicSweeper):
        def validate_batch_is_legal(self, batch):
            asked.append(list(batch))

    sweeper = Sweeper(max_batch_size=None)
    sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}})
    sweeper.hydra_context = SimpleNamespace(config_loader=None)
    sweeper.launcher = SimpleNamespace(launch=lambda batch, initial_job_idx: launched.extend(batch) or [])
    sweeper.sweep(["seed=1,2", "lr=3"])
    assert launched == [["seed=1", "lr=3"], ["seed=2", "lr=3"]]
    assert [list(map(list, batch)) for batch in asked] == [launched]


def test_a_file_is_parsed_again_where_it_has_changed(tmp_path):
    """Guards against an edited file without effect, and values of one composition in the next."""
    compose_faster()
    file = tmp_path / "train.yaml"
    before = GlobalHydra.instance().hydra
    try:
        for text, typed, node in [
            ("node: {a: 1}", [], {"a": 1}),
            ("node: {a: 1}", ["node.a=5", "+node.b=2"], {"a": 5, "b": 2}),
            ("node: {a: 1}", [], {"a": 1}),
            ("node: {a: 3}", [], {"a": 3}),
        ]:
            if not file.exists() or file.read_text() != text:
                changed = file.stat().st_mtime_ns + 1 if file.exists() else 0
                file.write_text(text)
                os.utime(file, ns=(changed, changed))
            GlobalHydra.instance().clear()
            initialize_config_dir(str(tmp_path), version_base="1.3")
            assert compose("train", typed) == {"node": node}
    finally:
        GlobalHydra.instance().hydra = before


def test_registered_options_are_shared_and_handed_out_as_copies():
    """Guards against a composition that writes into the options of all others."""
    compose_faster()
    store = ConfigStore.instance()
    assert copy.deepcopy(store) is store
    store.store("option_of_a_test", {"a": 1})
    try:
        store.load("option_of_a_test.yaml").node.a = 2
        assert store.load("option_of_a_test.yaml").node.a == 1
    finally:
        del store.repo["option_of_a_test.yaml"]
