"""Run directories that are damaged, by seed: what happens to files on a disk, and what somebody may do to them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

TEXTS = ("status.json", "config.yaml", "model.json", "metrics.json", "environment.json")
CHECKPOINTS = ("checkpoints/best.ckpt", "checkpoints/last.ckpt")
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        0.5,
        10**18,
        -(10**18),
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "0",
        "a\nb",
        "\x1b[31m",
    ),
    *("???", "~nobody-has-this-name/x", "/dev/zero", "../../..", "x" * 300, "\u202e", "null", "${oc.env:HOME}", "a\0b"),
    *([], {}, [[]], [1, "a"], {"a": 1}, {"_target_": "os.getcwd"}, {"_target_": ["os.getcwd"]}, ["x"] * 50),
)
WHOLE = ("", " ", "[]", "{}", "null", "3", '"x"', "9" * 5000, "[" * 100_000, '{"a":' * 500, "a: &b [1]\nc: *b\n", "\t{")


def mutate(directory: Path, rng: Random) -> str:
    """Change one file of a run directory; return what was done."""
    name = rng.choice([name for name in TEXTS * 3 + CHECKPOINTS if (directory / name).is_file()])
    path = directory / name
    kind = rng.choice(["bytes", "whole", "value", "value", "value", "place"])
    if kind == "whole":
        text = rng.choice(WHOLE)
        path.write_text(text)
        return f"{name} holds {text[:20]!r}"
    if kind == "bytes":
        return f"{name} {_bytes(path, rng)}"
    if kind == "place":
        return f"{name} {_place(path, rng)}"
    return f"{name} {_value(path, rng)}"


def _bytes(path: Path, rng: Random) -> str:
    held = bytearray(path.read_bytes())
    where = rng.randrange(len(held))
    if rng.random() < 0.4:
        path.write_bytes(held[:where])
        return f"cut at {where}"
    for _ in range(rng.choice([1, 1, 8])):
        held[rng.randrange(len(held))] = rng.choice([0, 10, 34, 91, 123, 255, rng.randrange(256)])
    path.write_bytes(held)
    return "has other bytes"


def _place(path: Path, rng: Random) -> str:
    path.unlink()
    kind = rng.choice(["missing", "folder", "pipe", "device", "loop", "large"])
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(2**32)
    return f"is {kind}"


def _value(path: Path, rng: Random) -> str:
    """Put another value into a file that stays well-formed, or take one out."""
    if path.suffix == ".ckpt":
        held = torch.load(path, weights_only=True)
    elif path.suffix == ".yaml":
        held = yaml.safe_load(path.read_text())
    else:
        held = json.loads(path.read_text())
    places = list(_places(held, ()))
    place, node, key = rng.choice(places)
    action = rng.choice(["replace", "replace", "replace", "remove", "rename"])
    value = rng.choice(VALUES)
    if action == "remove":
        del node[key]
    elif action == "rename" and isinstance(node, dict):
        node["renamed"] = node.pop(key)
    else:
        node[key] = value
    if path.suffix == ".ckpt":
        torch.save(held, path)
    else:
        path.write_text(yaml.safe_dump(held) if path.suffix == ".yaml" else json.dumps(held))
    return f"{action} {'.'.join(map(str, place))} {value!r:.40}"


def _places(node: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*place, key), node, key
        yield from _places(value, (*place, key))


def verbs(run: Path, image: Path, output: Path, again: list[str]) -> dict[str, list[str]]:
    """Return the command lines that a run directory is given to, by name.

    Args:
        run: The directory.
        image: To predict.
        output: A folder that is written to.
        again: The overrides with which the run was trained.
    """
    small = [
        "dataset=digits", "dataset.classes=[0,1]", "dataset.channels=1", "dataset.image_size=16", "trainer=debug",
        "trainer.model_summary=false", "strategy=linear_probe", "logger=none",
    ]  # fmt: skip
    return {
        "test": ["test", str(run)],
        "predict": ["predict", str(run), str(image), "-o", str(output / "p.csv")],
        "lineage": ["lineage", str(run)],
        "resume": ["train", f"resume={run}"],
        "backbone": [
            "train",
            "backbone=run",
            f"backbone.run={run}",
            *small,
            f"run_dir={output / 'next'}",
            "force=true",
        ],
        "plan": ["plan", "backbone=run", f"backbone.run={run}", *small[:4]],
        "again": ["train", *again, f"run_dir={run}"],
    }


def copied(run: Path, place: Path) -> Path:
    """Return a fresh copy of a run directory at a place."""
    if place.exists():
        shutil.rmtree(place)
    return shutil.copytree(run, place)
