"""An audit of labels as text, tables and a page of pictures."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from tlx.base.files import write_text
from tlx.base.printable import aligned, counted, enumerated, one_line, shortened
from tlx.choice.folders import AuditFolder
from tlx.choice.judged_labels import JudgedLabels, Label
from tlx.choice.out_of_fold import FOLDS
from tlx.data.datamodule import window_of
from tlx.measures.page import Block, Shown
from tlx.measures.page import as_html as page_of
from tlx.records.prediction_file import csv_lines
from tlx.review.labelled_picture import picture_of
from tlx.runs.shown import html_table

_COLUMNS = ("image", "label", "suggested", "score", "likely_wrong", "split")
_SHOWN, _PICTURES, _IN_A_ROW, _SIDE = 12, 120, 6, 180  # rows of the table; pictures, in a row, their longer side
_GENERATOR = "tlx audit"


def text(audit: JudgedLabels) -> list[str]:
    """Return the most doubtful labels and what to do about them, as lines."""
    rows = [["score", "label", "suggested", "split", "image"], *map(_cells, _first(audit))]
    return [*_heading(audit), "", *aligned(rows, {0})]


def _first(audit: JudgedLabels) -> list[Label]:
    return (audit.wrong or audit.table)[:_SHOWN]


def _cells(row: Label) -> list[str]:
    names = [shortened(one_line(name), 30) for name in (row.label, row.suggested)]
    return [f"{row.score:.3f}", *names, row.split, shortened(one_line(row.image), 80)]


def _heading(audit: JudgedLabels) -> list[str]:
    read = "" if "test" in audit.pool.splits else "; the test split is not read (--test)"
    wrong, judged = len(audit.wrong), len(audit.table)
    lines = [
        f"{audit.pool.describe()}{read}",
        f"logistic regression on {' and '.join(audit.groups)} of {audit.backbone}, {FOLDS} folds",
        audit.pool.describe_units(),
    ]
    if audit.unknown:
        classes = counted(len(audit.unknown), "class", "classes")
        lines.append(f"not judged: images of {classes} with too few others: {enumerated(audit.unknown)}")
    share = f"{wrong:,} of {judged:,} labels are likely wrong"
    pairs = [f"{label} as {other} {count:,}" for label, other, count in audit.confused]
    lines.append(f"{share}: {enumerated(pairs, 4)}" if wrong else f"{share}; the most doubtful ones:")
    return [one_line(line) for line in lines if line]


def write(audit: JudgedLabels, folder: Path) -> list[Path]:
    """Write the files of an audit, see `Audit.save`."""
    files = all(isinstance(sample.source, Path) and sample.region is None for sample in audit.pool.samples)
    names = ["audit.csv", "audit.html", *(["labels.csv"] if files else [])]
    AuditFolder(folder).start(names)
    rows = [[r.image, r.label, r.suggested, f"{r.score:.4f}", r.is_wrong, r.split] for r in audit.table]
    write_text(folder / "audit.csv", "".join(csv_lines(_COLUMNS, rows)))
    write_text(folder / "audit.html", page_of(audit.pool.name, [_pictures(audit)], _GENERATOR))
    if files:
        write_text(folder / "labels.csv", _labels(audit))
    return [folder / name for name in names]


def _pictures(audit: JudgedLabels) -> Block:
    rows = (audit.wrong or audit.table)[:_PICTURES]
    window = window_of(audit.data.dataset)
    cells = []
    for row in rows:
        split, sample = audit.data.splits[row.split], audit.pool.samples[row.position]
        caption = f"{row.label}? {row.suggested}? score {row.score:.3f}, {row.split}: {row.image}"
        cells.append(Shown(caption, picture_of(audit.data.image_set, split, sample, window, _SIDE)))
    lines = [*_heading(audit), f"Shown are {len(rows):,}: label, suggested label, score, split, image."]
    in_rows = [cells[start : start + _IN_A_ROW] for start in range(0, len(cells), _IN_A_ROW)]
    return Block("Labels that are likely wrong", lines, pictures=in_rows)


def _labels(audit: JudgedLabels) -> str:
    """Return all labels as a table that dataset=table reads, the most doubtful first, then those not judged and test.

    Labels of the test split are copied from the set. Its images are not opened.
    """
    pool = audit.pool
    score_of = {row.position: f"{row.score:.4f}" for row in audit.table}
    split_of = [part for part, count in pool.splits.items() for _ in range(count)]
    order = [*score_of, *(at for at in range(len(pool)) if at not in score_of)]
    rows = [(pool.samples[at], pool.class_names[pool.labels[at]], split_of[at], score_of.get(at, "")) for at in order]
    if "test" not in pool.splits:
        names = audit.data.class_names
        rows += [(sample, names[sample.target], "test", "") for sample in audit.data.splits["test"].samples]
    columns = ["path", "label", "split", "score", *(["group"] if pool.grouped else [])]
    cells = (
        [os.path.abspath(str(sample.source)), *rest, *([sample.group or ""] if pool.grouped else [])]
        for sample, *rest in rows
    )
    return "".join(csv_lines(columns, cells))


def as_html(audit: JudgedLabels) -> str:
    """Return an audit as HTML, with names escaped."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in _heading(audit))
    return lines + html_table(("score", "label", "suggested", "split", "image"), [*map(_cells, _first(audit))])
