"""Small files of a run that would take hours to read; each is refused at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tlx import TlxError
from tlx.records import read_config, read_model

ENOUGH = 20  # seconds; each of these took minutes or hours, and takes less than one
SAME_HASH = 2**61 - 1  # of whole numbers: Python takes the remainder


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: '" + "\\" * 10**6 + "x${'\n", "a reference"),
        ("a: 1" + ":1" * 500_000 + "\n", "more than 64 bits"),
        ("".join(f"{k * SAME_HASH}: 0\n" for k in range(1, 70_000)), "more than 64 bits"),
        ("a: [" + "0," * 900_000 + "0]\n", "more than 200,000 values"),
    ],
    ids=["backslashes", "a number to the base of 60", "keys of one hash", "a million numbers"],
)
def test_a_text_that_takes_long_is_refused_at_once(tmp_path: Path, text: str, why: str) -> None:
    """Guards against a search for `${` that begins at each backslash anew, and against what YAML and Python take long
    for: the base of 60, mappings whose keys have one hash, and as many values as 2 MB hold."""
    (tmp_path / "config.yaml").write_text(text)
    began = time.monotonic()
    with pytest.raises(TlxError, match=rf"config\.yaml: expected .*{why}"):
        read_config(tmp_path)
    assert time.monotonic() - began < ENOUGH


def test_backslashes_in_a_description_take_no_time(tmp_path: Path) -> None:
    """Guards against the same in model.json, which may be larger."""
    (tmp_path / "model.json").write_text(json.dumps({"task": "\\" * 4_000_000 + "x${"}))
    began = time.monotonic()
    with pytest.raises(TlxError, match=r"model\.json: .*a reference"):
        read_model(tmp_path)
    assert time.monotonic() - began < ENOUGH
