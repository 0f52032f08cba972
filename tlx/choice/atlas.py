"""Which layers transfer: a linear probe on the output of every layer group, with a part of the images and with all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import TlxError
from tlx.base.interruption import Interruption
from tlx.base.ranks import rank_and_world
from tlx.choice import atlas_text
from tlx.choice.layer_figures import EVERY, Key, LayerFigures, Row
from tlx.choice.outputs import Network
from tlx.choice.pool import Pool, pool_of
from tlx.choice.request import place_for, refuse_other_tasks
from tlx.measures.intervals import bootstrap_counts
from tlx.measures.probe_curve import Point, probe_curve
from tlx.measures.ridge import Numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


log = logging.getLogger("tlx")
_MOST, _WIDEST = 20_000, 4_096  # images, outputs; more are reduced


class Atlas(LayerFigures):
    """How well each layer group of one or several backbones separates the classes of a set of images."""

    def plot(self) -> Figure:
        """Draw the figure over the layer groups, a panel for each backbone and a line for each share."""
        return atlas_text.drawn(self)

    def save(self, folder: str | Path, command: str = "") -> list[Path]:
        """Write atlas.csv, atlas.png and atlas.md into a folder; return their paths.

        Args:
            folder: A new or empty folder, or one that tlx atlas wrote before.
            command: The command that made it.

        Raises:
            TlxError: The folder holds files of others, or cannot be written.
        """
        return atlas_text.write(self, Path(folder).expanduser(), command)

    def __str__(self) -> str:
        return "\n".join(atlas_text.text(self))

    def _repr_html_(self) -> str:
        return atlas_text.as_html(self)


def atlas(config: DictConfig, *others: DictConfig, interruption: Interruption | None = None) -> Atlas:
    """Probe every layer group of the backbones of one or several configurations with the same images.

    The images are those for training and validation; the test split is not read.

    Args:
        config: The result of `tlx.compose`.
        others: Configurations of other backbones, with the same images.
        interruption: A request to stop, checked between batches.

    Raises:
        TlxError: The images have no classes, or not those of the first configuration.

    Examples:
        >>> import tlx
        >>> small = ["backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.image_size=16"]
        >>> found = tlx.atlas(tlx.compose(small))
        >>> [row.group for row in found.whole]
        ['stem', 'stage1', 'stage2', 'stage3', 'all groups']
        >>> found.best.value > 0.8
        True
        >>> found.plot().savefig("atlas.png")
    """
    configs = [config, *others]
    refuse_other_tasks(configs, "atlas")
    if rank_and_world()[1] > 1:
        raise TlxError("atlas: expected one process, got several; start it without torchrun")
    pool: Pool | None = None
    points: dict[tuple[int, str], list[Point]] = {}
    widths: dict[tuple[int, str], int] = {}
    notes: list[str] = []
    names = []
    for number, one in enumerate(configs):
        network, splits, reduced = _network(one, place_for(configs, "atlas"))
        names.append(network.name)
        mine = pool_of(network.data, splits)
        if pool is None:
            pool = mine
            notes += reduced
        elif [sample.name for sample in mine.samples] != [sample.name for sample in pool.samples]:
            raise TlxError("atlas: expected configurations with the same images, got different ones")
        log.info("probing %d layer groups of %s", len(network.groups), network.name)
        outputs = network.outputs(splits, network.groups, interruption or Interruption())
        for group, features in _features({name: rows.double().numpy() for name, rows in outputs.items()}, notes):
            widths[number, group] = features.shape[1]
            points[number, group] = probe_curve(features, pool.labels, len(pool.class_names), pool.unit_of, pool.uneven)
    assert pool is not None
    return _measured(pool, names, points, widths, notes)


def _network(config: DictConfig, place: Path) -> tuple[Network, tuple[str, ...], list[str]]:
    """Return the network of a configuration, the splits to use, and a remark if only some of the images are used."""
    network = Network.of(config, place)
    train, count = network.data.sizes["train"], network.data.sizes["train"] + network.data.sizes["val"]
    if _is_reduced(network.data.dataset):
        return network, ("train",), ["only training images are used, since the configuration keeps some of them"]
    if count <= _MOST:
        return network, ("train", "val"), []
    if train > _MOST:
        config = config.copy()
        OmegaConf.update(config, "dataset.fraction", _MOST / train)
        network = Network.of(config, place)
    return network, ("train",), [f"{network.data.sizes['train']:,} of {count:,} images are used"]


def _is_reduced(dataset: Mapping[str, object]) -> bool:
    return dataset.get("labels_per_class") is not None or dataset.get("fraction") is not None


def _features(outputs: dict[str, Numbers], notes: list[str]) -> Iterator[tuple[str, Numbers]]:
    """Yield the outputs of each layer group, then those of all groups side by side, each with a variance of 1."""
    yield from outputs.items()
    if len(outputs) == 1:
        return
    scaled = [(rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12) for rows in outputs.values()]
    whole = np.concatenate(scaled, axis=1)
    if min(whole.shape) > _WIDEST:  # a random projection keeps distances (Johnson and Lindenstrauss 1984)
        notes.append(f"{EVERY}: {whole.shape[1]:,} outputs are projected at random to {_WIDEST:,}")
        random = np.random.default_rng(0).standard_normal((whole.shape[1], _WIDEST), dtype=np.float32)
        whole = (whole.astype(np.float32) @ random).astype(np.float64)
    yield EVERY, whole


def _measured(
    pool: Pool,
    names: Sequence[str],
    points: dict[tuple[int, str], list[Point]],
    widths: dict[tuple[int, str], int],
    notes: Sequence[str],
) -> Atlas:
    """Return the figures of all probes with their intervals, from resamples that they share."""
    keys: list[Key] = [(*place, point.share) for place, found in points.items() for point in found]
    flat = [point for found in points.values() for point in found]
    right = np.stack([point.right for point in flat], axis=1)  # (N, M)
    known = np.isfinite(right)
    right = np.where(known, right, 0.0)
    classes = [np.flatnonzero(pool.labels == label) for label in range(len(pool.class_names))]
    members = classes if pool.uneven else [np.arange(len(pool))]

    def figures(drawn: np.ndarray) -> dict[str, np.ndarray]:
        total, present = np.zeros((len(drawn), len(keys))), np.zeros((len(drawn), len(keys)))
        for own in members:
            some = drawn[:, own].astype(float)
            seen = some @ known[own]
            total += np.divide(some @ right[own], seen, out=np.zeros_like(seen), where=seen > 0)
            present += seen > 0
        mean = np.divide(total, present, out=np.full_like(total, np.nan), where=present > 0)
        return {str(i): mean[:, i] for i in range(len(keys))}

    columns = [str(i) for i in range(len(keys))]
    everything = np.ones(len(pool), dtype=bool)
    intervals = bootstrap_counts(
        len(pool), figures, [str(unit) for unit in pool.unit_of.tolist()],
        proportions={} if pool.uneven else dict.fromkeys(columns, everything),
        class_means=columns if pool.uneven else (),
    )  # fmt: skip
    values = figures(np.ones((1, len(pool))))
    rows = []
    for column, (number, group, share), point in zip(columns, keys, flat, strict=True):
        low, high = map(float, intervals.overall.get(column, np.full(2, np.nan)))
        about = names[number], group, widths[number, group], share, point.images
        rows.append(Row(*about, float(values[column][0]), low, high, point.penalty, number))
    alone = int((np.bincount(pool.labels[np.unique(pool.unit_of, return_index=True)[1]]) == 1).sum())
    if alone:
        few = f"{alone:,} of {len(pool.class_names):,} classes have a single image, copy or group"
        notes = [*notes, f"{few}: no probe that is tried on it has seen its class"]
    resampled = {key: intervals.resampled[str(i)] for i, key in enumerate(keys) if str(i) in intervals.resampled}
    figure = "balanced_accuracy" if pool.uneven else "accuracy"
    return Atlas(pool, figure, rows, (*notes,), resampled)
