"""Hostile archives, unpacked as torchvision unpacks what it has downloaded."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from torchvision.datasets.utils import extract_archive

from tlx.base.errors import TlxError
from tlx.data import torchvision_set
from tlx.data.sources import archives, torchvision_sets
from tlx.data.sources.archives import unpacking_safely


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = 4 if kind == tarfile.REGTYPE else 0
    return info


HOSTILE = {
    "up": [member("../evil.txt")],
    "absolute": [member("{outside}/evil.txt")],
    "symbolic link": [member("link", tarfile.SYMTYPE, "{outside}"), member("link/evil.txt")],
    "link up": [member("link", tarfile.SYMTYPE, ".."), member("link/evil.txt")],
    "hard link": [member("link", tarfile.LNKTYPE, "{outside}/secret.txt"), member("link")],
    "device": [member("device", tarfile.CHRTYPE)],
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("mine")
    return folder


def tar(path: Path, members: list[tarfile.TarInfo], outside: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info in members:
            copy = member(info.name.format(outside=outside), info.type, info.linkname.format(outside=outside))
            archive.addfile(copy, io.BytesIO(b"evil") if copy.isreg() else None)
    return path


def by_torchvision(path: Path, folder: Path) -> None:
    extract_archive(str(path), str(folder))


def as_it_comes(path: Path, folder: Path) -> None:
    """As a torchvision does that asks for no filter."""
    with tarfile.open(path) as archive:
        archive.extractall(folder)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("unpack", [by_torchvision, as_it_comes])
def test_hostile_tars_stay_in_their_folder(tmp_path, outside, kind, unpack):
    """Guards against an archive that writes outside of its folder, also where torchvision does not look."""
    path = tar(tmp_path / "a.tar.gz", HOSTILE[kind], outside)
    before = tarfile.TarFile.extraction_filter
    refused = False
    with unpacking_safely():
        try:
            unpack(path, tmp_path / "in")
        except (tarfile.FilterError, KeyError):
            refused = True
    assert refused == (kind != "absolute")  # whose leading slash is dropped
    assert tarfile.TarFile.extraction_filter is before
    assert all(tmp_path / "in" in found.parents for found in tmp_path.rglob("evil.txt"))
    assert [p.name for p in outside.iterdir()] == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "mine"
    assert not [p for p in tmp_path.rglob("*") if p.is_char_device()]


def test_hostile_zips_stay_in_their_folder(tmp_path, outside):
    """Guards against zip names that lead out, and links in place of files."""
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.txt", "evil")
        archive.writestr(f"{outside}/evil.txt", "evil")
        archive.writestr("..\\evil.txt", "evil")
        archive.writestr(link, str(outside))
    inside = tmp_path / "deep" / "in"
    with unpacking_safely():
        extract_archive(str(path), str(inside))
    assert all(inside in found.parents for found in tmp_path.rglob("*evil.txt"))
    assert not (inside / "link").is_symlink()
    assert sorted(p.name for p in outside.iterdir()) == ["secret.txt"]


def test_a_download_is_unpacked_safely(tmp_path, monkeypatch):
    """Guards against the guard being there and not used, and against a Python that has none."""
    seen = []

    def download(*_: object, **__: object) -> None:
        seen.append(tarfile.TarFile.extraction_filter)
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", download)
    with pytest.raises(TlxError, match="the download failed: no network"):
        torchvision_set("cifar10", tmp_path)
    assert seen == [tarfile.data_filter]
    monkeypatch.delattr(archives.tarfile, "data_filter")
    with pytest.raises(TlxError, match=r"Python 3\.11\.4 or newer"):
        torchvision_sets.torchvision_set("cifar10", tmp_path)
