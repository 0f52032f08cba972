from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest
import torchvision.datasets

import tlx.data
from tlx.data import ImageDataModule
from tlx.data.catalog import source_of
from tlx.data.sources.torchvision_table import TORCHVISION


def test_nothing_heavy_is_imported():
    """Guards against `tlx --help` and a config mistake that wait seconds for torch."""
    code = (
        "import sys, tlx.data.catalog; heavy = {'torch', 'numpy', 'PIL', 'hydra', 'sklearn'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_of_tlx_data_is_there():
    """Guards against a lazy name that shadows a module, or leads nowhere."""
    for module in pkgutil.iter_modules(tlx.data.__path__, "tlx.data."):
        importlib.import_module(module.name)
    modules = [name for name in tlx.data.__all__ if isinstance(getattr(tlx.data, name), ModuleType)]
    assert modules == []


def test_table_agrees_with_torchvision():
    """Guards against a set that torchvision has renamed, class lists of the wrong length, and mirrored characters."""
    for name, known in TORCHVISION.items():
        cls = getattr(torchvision.datasets, known.cls)
        assert known.names is None or len(known.names) == len(set(known.names)) == known.num_classes, name
        classes = getattr(cls, "classes", None)
        assert classes is None or known.cls == "EMNIST" or len(classes) == known.num_classes, name
    characters = {"mnist", "kmnist", "qmnist", "usps", "semeion", "svhn", "gtsrb", "rendered_sst2"}
    mirrored = {name for name, known in TORCHVISION.items() if known.horizontal_flip}
    assert set(TORCHVISION) - mirrored == characters | {n for n in TORCHVISION if n.startswith("emnist")}
    merged = torchvision.datasets.EMNIST.classes_split_dict
    assert list(TORCHVISION["emnist_balanced"].names) == merged["balanced"]
    assert list(TORCHVISION["emnist_letters"].names) == merged["letters"][1:]
    assert list(TORCHVISION["fashion_mnist"].names) == torchvision.datasets.FashionMNIST.classes
    assert list(TORCHVISION["kmnist"].names) == torchvision.datasets.KMNIST.classes


def test_class_names_equal_those_of_the_loaded_set(make_tree, node, preprocessing):
    """Guards against a head planned for other classes than the data have."""
    root = make_tree({"train/cat": 3, "train/dog": 3, "val/dog": 1})
    for dataset in (node("digits"), node("digits", classes=[8, 1, 3]), node("folder", root=str(root))):
        known = source_of(dataset).class_names()
        assert known == ImageDataModule(dataset, preprocessing, seed=0).class_names
        assert source_of(dataset).num_classes() == len(known)
        assert source_of(dataset).mistakes() == []


def test_what_cannot_be_known_is_none(node):
    """Guards against an exception from the light modules where only loading can tell."""
    assert source_of(node("folder", root="/nowhere")).class_names() is None
    assert source_of(node("folder", root="???")).class_names() is None
    assert source_of(node("folder", root="/nowhere")).num_classes() is None
    assert source_of(node("torchvision_set", name="food101")).class_names() is None
    assert source_of(node("torchvision_set", name="food101")).num_classes() == 101
    assert source_of(node("torchvision_set", name="nothing")).num_classes() is None
    assert source_of({"_target_": "my.own.source"}).class_names() is None
    assert source_of({"_target_": "my.own.source"}).mistakes() == []


@pytest.mark.parametrize(
    ("source", "keys", "path", "words"),
    [
        (
            "folder",
            {"root": "{tree}/hymenoptra"},
            "dataset.root",
            "does not exist\n    did you mean '{tree}/hymenoptera'",
        ),
        ("folder", {"root": "{tree}/hymenoptera/a/0.png"}, "dataset.root", "is a file"),
        ("folder", {"root": "{tree}/empty"}, "dataset.root", "no folder with images"),
        ("folder", {"root": "{tree}/hymenoptera/a"}, "dataset.root", "images outside class folders"),
        ("digits", {"classes": [1, 12]}, "dataset.classes", "digits from 0 to 9, got [1, 12]"),
        ("digits", {"classes": [1, 1]}, "dataset.classes", "different digits"),
        ("digits", {"classes": [1]}, "dataset.classes", "at least two"),
        ("digits", {"val_fraction": 0.6, "test_fraction": 0.4}, "dataset.val_fraction", "below 1"),
        (
            "digits",
            {"labels_per_class": 5, "fraction": 0.1},
            "dataset.labels_per_class",
            "labels_per_class=5 and fraction=0.1",
        ),
        ("digits", {"augment": "trivial", "channels": 4}, "dataset.augment", "trivial with channels=4"),
        ("torchvision_set", {"name": "cifar1O", "root": "d"}, "dataset.name", "did you mean 'cifar10'?"),
        (
            "torchvision_set",
            {"name": "cifar10", "root": "{tree}", "download": False},
            "dataset.root",
            "without cifar-10-batches-py/data_batch_1\n    dataset.download=true",
        ),
        (
            "torchvision_set",
            {"name": "stanford_cars", "root": "{tree}", "download": True},
            "dataset.root",
            "torchvision cannot download it",
        ),
    ],
)
def test_mistakes(make_tree, node, source, keys, path, words):
    """Guards against a mistake that shows only after minutes of importing, building and downloading."""
    tree = make_tree({"hymenoptera/a": 1, "hymenoptera/b": 1, "empty": 0})
    keys = {k: v.format(tree=tree) if isinstance(v, str) else v for k, v in keys.items()}
    found = source_of(node(source, **keys)).mistakes()
    assert [m.path for m in found] == [path]
    assert words.format(tree=tree) in str(found[0])


def test_nothing_is_wrong_with_what_can_be_downloaded(node):
    """Guards against demanding files that will be fetched."""
    assert source_of(node("torchvision_set", name="cifar10", root="/nowhere", download=True)).mistakes() == []
