"""A source is one object: what tlx asks of it before and after loading."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from tlx.base.allowed import VARIABLE
from tlx.base.errors import ConfigError, Mistake
from tlx.building.listed import SOURCES
from tlx.config.compose import compose
from tlx.data import ImageDataModule, ImageSet, Sample, Source, SourceKeys, Split
from tlx.data.catalog import source_class, source_of


@dataclass
class StripesKeys(SourceKeys):
    """Folders `light` and `dark`."""

    root: str = "???"
    sides: list[int] = field(default_factory=list)


class StripesSource(Source):
    """A format as a user, or a new file of tlx, would add one."""

    keys = StripesKeys

    def all_class_names(self) -> list[str]:
        return ["light", "dark"]

    def own_mistakes(self) -> list[Mistake]:
        missing = [name for name in self.all_class_names() if not (self.path("root") / name).is_dir()]
        return [Mistake("dataset.root", "folders light and dark", f"none called {missing[0]}")] if missing else []

    def content(self) -> dict[str, list[str]]:
        return {"files": sorted(path.name for path in self.path("root").rglob("*.png"))}

    def read(self) -> ImageSet:
        files = [(f, t) for t, name in enumerate(self.all_class_names()) for f in self.path("root").glob(f"{name}/*")]
        samples = [Sample(file, target, file.name) for file, target in sorted(files)]
        parts = [Split(samples[start::3]) for start in range(3)]
        return ImageSet(self.node["name"], self.all_class_names(), *parts, "by turns")


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A set of stripes, and a configuration directory whose option names the class above."""
    monkeypatch.setenv(VARIABLE, __name__)
    for i in range(12):
        path = tmp_path / "images" / ("light" if i % 2 else "dark") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (20 * i, 255 * (i % 2), 0)).save(path)
    option = tmp_path / "conf" / "dataset" / "stripes.yaml"
    option.parent.mkdir(parents=True)
    target = f"{__name__}.{StripesSource.__name__}"
    option.write_text(f"defaults: [base, _self_]\n_target_: {target}\nname: stripes\nroot: ???\n")
    return ["dataset=stripes", f"dataset.root={tmp_path / 'images'}", "backbone=small_cnn"]


def test_a_source_takes_one_file(overrides, tmp_path, preprocessing):
    """Guards against a format that is known by its name in the check, the name of a run or the loading of images."""
    config = compose(overrides, tmp_path / "conf")
    assert config.dataset.sides == []  # a key of its own, with its default
    data = ImageDataModule(config.dataset, preprocessing, seed=0)
    assert data.class_names == ["light", "dark"]
    assert data.sizes == {"train": 4, "val": 4, "test": 4}
    assert next(iter(data.train_dataloader()))["image"].shape == (4, 3, 16, 16)
    (tmp_path / "images").rename(tmp_path / "moved")
    moved = compose([*overrides, f"dataset.root={tmp_path / 'moved'}"], tmp_path / "conf")
    assert moved.run_name == config.run_name
    (tmp_path / "moved" / "dark" / "0.png").unlink()
    assert compose([*overrides, f"dataset.root={tmp_path / 'moved'}"], tmp_path / "conf").run_name != config.run_name


def test_mistakes_of_a_users_source_are_told_with_all_others(overrides, tmp_path):
    """Guards against keys of a user's source that nobody checks, and a head for other classes than it has."""
    (tmp_path / "images" / "dark").rename(tmp_path / "images" / "bright")
    with pytest.raises(ConfigError) as told:
        compose([*overrides, "dataset.side=3", "dataset.sides=[a]", "optimizer.lr=-1"], tmp_path / "conf")
    for words in ("dataset.side: ", "did you mean 'sides'", "dataset.sides[0]", "optimizer.lr"):
        assert words in str(told.value)
    with pytest.raises(ConfigError, match="none called dark"):
        compose(overrides, tmp_path / "conf")
    (tmp_path / "images" / "bright").rename(tmp_path / "images" / "dark")
    with pytest.raises(ConfigError, match=r"task.num_classes: expected 2"):
        compose([*overrides, "task.num_classes=3"], tmp_path / "conf")


def test_a_source_that_the_user_does_not_allow_is_not_imported(monkeypatch, tmp_path):
    """Guards against code of a run directory from elsewhere that runs because its name or its class is asked for."""
    (tmp_path / "foreign_source.py").write_text("raise SystemExit('imported')\nclass Foreign: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert source_of({"_target_": "foreign_source.Foreign"}).class_names() is None


@pytest.mark.parametrize("target", SOURCES)
def test_a_node_of_conf_and_the_documented_function_are_one_source(target):
    """Guards against a line of the mapping that leads nowhere, and keys that the function does not take."""
    import inspect

    import tlx.data
    from tlx.data.sources import keys

    taken = inspect.signature(getattr(tlx.data, target.rpartition(".")[2])).parameters
    source = source_class(target)(dict.fromkeys(source_class(target).keys.__dataclass_fields__))
    assert keys.arguments(source.node, type(source).keys).keys() - {"classes"} == set(taken) - {"classes"}
    assert set(source.arguments) == set(taken)


def test_what_sources_of_all_labels_need_is_public():
    """Guards against a user's source of masks or boxes whose keys and labels have no public name."""
    import tlx.data

    public = {name: getattr(tlx.data, name) for name in tlx.data.__all__}
    assert public.keys() == tlx.data._HOME.keys()
    for source in map(source_class, SOURCES):
        own = [keys.__name__ for keys in source.keys.__mro__ if keys.__module__ == SourceKeys.__module__]
        assert public.keys() >= set(own), f"{source.__name__}: {own}"
    assert {public["BoxLabels"].name, public["MASKS"].name, "classes"} == {source_class(one).labels for one in SOURCES}
