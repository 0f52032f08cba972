"""The planted faults of tests/faults fit the code. Whether tests catch them is for `make faults` to find out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.planting import Fault, Misplanted, locate, plant, read, read_all

FAULTS = read_all()


def test_there_are_faults_for_every_part() -> None:
    """Guards against an empty list, which every suite catches."""
    assert len(FAULTS) >= 40
    assert all(fault.breaks and fault.tests for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_the_code(fault: Fault) -> None:
    """Guards against code that moved away from under a fault: it would be caught by nothing but its own error."""
    plant(fault, ROOT)
    for test in fault.tests:
        path, *names = re.sub(r"\[.*", "", test).split("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert all(re.search(rf"^\s*(?:def|class) {name}\b", text, re.MULTILINE) for name in names), test


SOURCE = '''
LIMIT = 3


class Store:
    """A store."""

    @property
    def size(self) -> int:
        return LIMIT

    def put(self, value: int) -> None:
        self.value = value


def put(value: int) -> None:
    self = value
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tlx" / "data").mkdir(parents=True)
    (tmp_path / "tlx" / "data" / "store.py").write_text(SOURCE)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text("seed: 1\n")
    return tmp_path


def fault(name: str, old: str, new: str) -> Fault:
    return Fault("one", "something", name, old, new, ("tests/test_faults.py",))


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("tlx.data.store.Store.put", "self.value = value", "pass", "        pass"),
        ("tlx.data.store.put", "self = value", "pass", "    pass"),
        ("tlx.data.store.Store.size", "@property", "@staticmethod", "    @staticmethod"),
        ("tlx.data.store.LIMIT", "3", "4", "LIMIT = 4"),
        ("conf.train", "seed: 1", "seed: 2", "seed: 2"),
    ],
)
def test_a_fault_changes_its_object_and_nothing_else(tree: Path, name: str, old: str, new: str, line: str) -> None:
    """Guards against a fault that lands in another method of the same text."""
    path, text = plant(fault(name, old, new), tree)
    changed = set(text.splitlines()) - set(path.read_text().splitlines())
    assert changed == {line}


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("tlx.data.store.Store.put", "value", "x", "occurs 3 times"),
        ("tlx.data.store.Store.put", "absent", "x", "occurs 0 times"),
        ("tlx.data.store.Store.put", "self.value", "self.value", "a new text"),
        ("tlx.data.store.Store.put", "self.value = value", "self.value =", "invalid syntax"),
        ("tlx.data.store.Store.get", "value", "x", "0 definitions of get"),
        ("tlx.data.nothing", "value", "x", "no module"),
    ],
)
def test_a_fault_that_does_not_fit_is_an_error(tree: Path, name: str, old: str, new: str, message: str) -> None:
    """Guards against a fault that changes nothing and is reported as one that slipped."""
    with pytest.raises(Misplanted, match=message):
        plant(fault(name, old, new), tree)


def test_an_unknown_key_is_an_error(tmp_path: Path) -> None:
    """Guards against a misspelt key that is passed over."""
    path = tmp_path / "one.toml"
    path.write_text('breaks = "x"\nobject = "tlx"\nold = "a"\nnew = "b"\ntests = []\nnightli = "x"\n')
    with pytest.raises(Misplanted, match="nightli"):
        read(path)


def test_an_object_is_found_in_a_branch(tmp_path: Path) -> None:
    """Guards against definitions under `if` that cannot be named."""
    (tmp_path / "tlx.py").write_text("if True:\n    def one():\n        return 1\n")
    path, start, end = locate(tmp_path, "tlx.one")
    assert path.read_text()[start:end].strip().startswith("def one")
