"""README.md and docs/ say what the code does: every command line, configuration, Python block and link is checked."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

import tlx.cli
import tlx.demo
import tlx.runs.compare
import tlx.runs.run
from tests.conftest import ROOT
from tests.printed import PAGES, check, printed
from tlx.backbones import catalog as backbone_catalog
from tlx.building.listed import SOURCES
from tlx.choice.request import requested
from tlx.config import check_command_line, compose, options
from tlx.config import schema as schemas
from tlx.data.catalog import source_class
from tlx.data.files.image_files import find_images
from tlx.data.sources.torchvision_table import TORCHVISION
from tlx.inference.evaluate import Tested
from tlx.runs.resume import resumed
from tlx.tasks.catalog import KINDS
from tlx.tasks.segmentation.loss_terms import LOSSES

ADAPTING = ("adabn", "coral", "dan", "dann", "cdan", "mcc", "self_training")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, language: str) -> Iterator[str]:
    for found, text in FENCED.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield text


def commands() -> list[tuple[str, list[str]]]:
    """(pages, line as a person types it; words after `tlx`) of every tlx command, whatever starts it (srun, …)."""
    found: dict[tuple[str, ...], tuple[list[str], str, list[str]]] = {}  # what a command sets and says -> where it is
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if "tlx" in words and words[0] not in ("git", "pip"):
                    after = words.index("tlx") + 1
                    sets = [word for word in words[:after] if word.startswith("TLX_")]
                    said = found.setdefault((*sets, *words[after:]), ([], " ".join(line.split()), words[after:]))
                    said[0].append(page.name)
    return [(f"{', '.join(dict.fromkeys(pages))}: {line}", words) for pages, line, words in found.values()]


COMMANDS = commands()
OBJECTS = ("person", "car")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with what the commands speak of: images, weights, a finished run, the pages' own configuration files."""
    home = tmp_path_factory.mktemp("home")
    for name in (
        "pets/cats/1.jpg",
        "pets/dogs/1.jpg",
        *("insects/ants/1.jpg", "insects/bees/1.jpg"),
        *(f"archive/{part}/cats/1.jpg" for part in ("training_set", "test_set", *(f"fold{i}" for i in range(1, 6)))),
        "slides/a/1.jpg",
        "slides/b/1.jpg",
        "flat/cat_1.jpg",
        "work/photos/1.jpg",
        "photos/1.jpg",
        *("cells/images/1.jpg", "cells/masks/1.png", "roads/images/1.jpg", "roads/masks/1.png"),
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(home / name)
    (home / "pets.csv").write_text("path,label,patient\npets/cats/1.jpg,cats,a\npets/dogs/1.jpg,dogs,b\n")
    (home / "cells" / "images" / "1.xml").write_text(
        "<annotation><object><name>cell</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
        "</object></annotation>"
    )
    (home / "cells" / "images" / "1.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (home / "cells" / "labels.csv").write_text("1.jpg,1,1,4,4,cell\n")
    annotations = {"images": [], "annotations": [], "categories": [{"id": i, "name": n} for i, n in enumerate(OBJECTS)]}
    (home / "coco").mkdir()
    (home / "coco" / "coco.json").write_text(json.dumps(annotations))
    (home / "mri.csv").write_text((home / "pets.csv").read_text())
    work = home / "work"
    for name in ("weights.safetensors", "weights.pth"):
        (work / name).write_bytes((2).to_bytes(8, "little") + b"{}")  # no tensors, in the format of safetensors
    for name in TORCHVISION["cifar10"].files:
        (home / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "data" / name).touch()
    for name in ("RUN", "OTHER", *(f"outputs/{one}" for one in ("RUN", "a", "b", "c", "pets-1", "digits-1"))):
        run = tlx.runs.run.Run(work / name)
        run.begin(compose(["dataset=folder", f"dataset.root={home / 'pets'}", "backbone=small_cnn"]))
        network = {"group_names": ["stem", "stage1", "stage2", "stage3"], "num_features": 4, "class_names": ["a", "b"]}
        images = {"size": 64, "mean": [0.5], "std": [0.5]}
        described = {**network, "architecture": {"_target_": "tlx.backbones.small_cnn"}, "preprocessing": images}
        (run.directory / "model.json").write_text(json.dumps(described))
    for page in PAGES:
        for block in blocks(page, "yaml"):
            file = re.search(r"^# (mine/\S+\.yaml)$", block, re.MULTILINE)
            assert file, f"{page.name}: expected a comment that names the file, such as '# mine/strategy/x.yaml'"
            (work / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (work / file[1]).write_text(block, encoding="utf-8")
    return home


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place / "work")
    return place / "work"


def test_the_pages_hold_commands() -> None:
    """Guards against a pattern that finds no command, and so checks nothing."""
    assert len(COMMANDS) > 50
    assert {words[0] for _, words in COMMANDS} >= {"train", "plan", "test", "predict", "list"}


@pytest.mark.slow
@pytest.mark.parametrize(("line", "words"), COMMANDS, ids=[line for line, _ in COMMANDS])
def test_every_command_of_the_pages_is_right(
    line: str, words: list[str], here: Path, monkeypatch, loggers_installed
) -> None:
    """Guards against pages that show options, keys or verbs that are no more."""

    def do_test(run: tlx.runs.run.Run, overrides: list[str] = ()) -> Tested:
        assert run.config
        assert run._overridden(overrides)
        return Tested({}, 0, None)

    class Nothing:
        def __len__(self) -> int:
            return 0

        def save(self, path: str) -> None: ...

        def summary(self) -> list[str]:
            return []

    def do_predict(run: tlx.runs.run.Run, images: list[str], batch_size: int, on_bad: str) -> Nothing:
        assert run.config
        assert find_images(images)
        return Nothing()

    set_variables(line.partition(" tlx ")[0], monkeypatch)
    verb, rest = words[0], words[1:]
    if rest and rest[0].startswith("resume="):
        assert resumed(rest[0].removeprefix("resume="), rest[1:]).run_dir
        return
    if verb in ("train", "plan", "check") and not {"-h", "--help"} & set(rest):
        for flag in {"--pictures", "--similar"} & set(rest) if verb == "check" else ():
            place = rest.index(flag)
            del rest[place : place + 2]
        flags, overrides, config_dir = tlx.cli._split(rest)
        multirun = bool({"-m", "--multirun"} & set(flags))
        assert verb == "train" or not multirun
        found = check_command_line(overrides, config_dir, multirun)
        assert not found, "\n".join(map(str, found))
        return
    if verb in ("atlas", "audit"):
        monkeypatch.setattr(
            f"tlx.choice.commands.{verb}", lambda args, known: str(requested(known.overrides, None, verb))
        )
    monkeypatch.setattr(tlx.runs.run.Run, "tested", do_test)
    monkeypatch.setattr(tlx.runs.run.Run, "predict", do_predict)
    monkeypatch.setattr(tlx.runs.lineage, "table", lambda run: str(run.config))
    monkeypatch.setattr(
        tlx.runs.compare, "comparison", lambda runs: "\n".join(str(tlx.Run(run).config) for run in runs)
    )
    monkeypatch.setattr(tlx.demo, "demo", lambda output_dir: output_dir)
    if "--check" in rest:  # builds many networks
        monkeypatch.setattr("tlx.backbones.timm_check.report", lambda names: names)
    tlx.cli.main(words)  # exits with 2 on an unknown verb, flag or name


def set_variables(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what `NAME=value` before a command sets."""
    for name, value in re.findall(r"(?<!\S)(TLX_\w+)=(\S+)", text):
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_every_file_of_the_pages_composes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against configuration files on the pages that do not work as they stand."""
    files = sorted((here / "mine").rglob("*.yaml"))
    assert files
    for file in files:
        group, option = file.parent.relative_to(here / "mine").as_posix(), file.stem
        set_variables(file.read_text(encoding="utf-8"), monkeypatch)
        overrides = [] if group == "local" else [f"{group}={option}"]
        if group == "dataset":
            overrides.append("dataset.root=~/flat")
        if "\nadapt:" in file.read_text(encoding="utf-8"):
            overrides.append("target=plates")
        config = compose(overrides, here / "mine")
        for key, value in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            if group == "local" and not isinstance(value, dict):
                assert config[key] == value


def test_every_configuration_in_python_composes(here: Path) -> None:
    """Guards against Python on the pages that does not parse, or composes what is no more."""
    composed = 0
    for page in PAGES:
        for block in blocks(page, "python"):
            for node in ast.walk(ast.parse(block, page.name)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "tlx.compose":
                    source = re.sub(r"f'(\w+)=\{seed\}'", r"'\1=0'", ast.unparse(node.args[0]))
                    compose(ast.literal_eval(source))
                    composed += 1
    assert composed > 1


def test_every_link_leads_somewhere() -> None:
    """Guards against links to pages, pictures and headings that were moved."""
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
                assert anchor in anchors, f"{page.name}: {link}"


PRINTED = [page for page in PAGES if printed(page)]
FAST, TRAINED = ([page for page in PRINTED if any(one.trains == trains for one in printed(page))] for trains in (0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("page", FAST, ids=[page.stem for page in FAST])
def test_a_page_shows_what_its_commands_print(page: Path, tmp_path: Path, forked_commands) -> None:
    """Guards against tables, plans and messages on a page that an older version printed."""
    refuse_stale(page, tmp_path, trains=False)


@pytest.mark.nightly
@pytest.mark.parametrize("page", TRAINED, ids=[page.stem for page in TRAINED])
def test_a_page_shows_what_its_trainings_print(page: Path, tmp_path: Path, forked_commands) -> None:
    """Guards against logs and figures of trainings on a page that an older version printed."""
    refuse_stale(page, tmp_path, trains=True)


def refuse_stale(page: Path, folder: Path, trains: bool) -> None:
    """Fail if an output on a page differs from what its command prints."""
    stale = [line for _, _, differs in check(page, folder, trains) for line in differs]
    assert not stale, "\n".join([*stale, f"to rewrite: python -m tests.printed --write {'--nightly ' * trains}{page}"])


def test_outputs_on_the_pages_are_marked() -> None:
    """Guards against an output that nobody compares, and against a pattern that finds none."""
    assert {page.name for page in PRINTED} >= {"README.md", "runs.md", "sweeps.md", "strategies.md", "tasks.md"}
    for page in PAGES:
        marks = page.read_text(encoding="utf-8").count("<!-- printed")
        assert len(printed(page)) == marks, f"{page.name}: a comment '<!-- printed' without indented lines below it"


def documented(page: str) -> set[str]:
    """What stands between backquotes on a page."""
    return set(re.findall(r"`([^`\n]+)`", (ROOT / "docs" / page).read_text(encoding="utf-8")))


def keys(*nodes: type) -> set[str]:
    return {f.name for node in nodes for f in dataclasses.fields(node)} - {"_target_"}


def test_every_key_and_option_is_documented() -> None:
    """Guards against a new key, strategy or data set of which no page tells."""
    assert keys(schemas.Stage, schemas.Strategy, schemas.Optimizer) <= documented("strategies.md")
    assert set(options("strategy")) <= documented("strategies.md")
    assert keys(*(source_class(target).keys for target in SOURCES)) <= documented("datasets.md")
    assert set(options("dataset")) <= documented("datasets.md")
    assert set(options("backbone")) - set(backbone_catalog.TORCHVISION) <= documented("backbones.md")
    assert keys(*(kind.schema for kind in KINDS.values())) - {"name"} <= documented("tasks.md")
    assert {*options("task"), *options("strategy"), *LOSSES} <= documented("tasks.md")


def test_the_page_says_which_strategies_a_segmentation_refuses() -> None:
    """Guards against a table of strategies that promises what is refused, or refuses what runs."""
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").partition("## Strategies by task")[2]
    refused = {}
    for row in (line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")):
        first, *_, last = (cell.strip() for cell in row.strip("|").split("|"))
        typed = re.findall(r"`([^`]+)`", last)
        for name in re.findall(r"`([^`]+)`", first):
            refused[name] = typed[:1] if "refused" in last or "=" in name else []
    assert set(options("strategy")) <= set(refused)
    for name, typed in refused.items():
        words = ["task=segmentation", "dataset=scenes", name if "=" in name else f"strategy={name}"]
        if name in ADAPTING:
            words.append("target=scenes")
        found = "\n".join(map(str, check_command_line(words, None, False)))
        assert bool(found) == bool(typed), f"{name}: {found}"
        assert all(word in found for word in typed), f"{name}: {found}"


def test_every_family_of_networks_is_documented_with_its_layer_groups() -> None:
    """Guards against layer groups on the page that a network does not have."""
    rows = [line for line in (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    for name in (*backbone_catalog.TORCHVISION, "small_cnn"):
        globs = [(glob, row) for row in rows for glob in re.findall(r"`([^`]+)`", row.split("|")[1])]
        own = [row for glob, row in globs if re.fullmatch(glob.replace("*", ".*"), name) and "stem`" in row + "stem`"]
        described = " ".join(row.split("|")[2] for row in own)
        groups = backbone_catalog.group_names(name)
        assert f"`{groups[0]}`" in described, name
        assert f"`{groups[-1]}`" in described, name
