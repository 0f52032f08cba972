"""k-fold cross-validation: each fold is held out while the others train; then all networks together are tested."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from tlx.base.interruption import Interruption
from tlx.base.places import refuse_little_room
from tlx.base.printable import counted
from tlx.building.safety import refuse_foreign_targets
from tlx.callbacks.frozen_prefix import UntouchedPrefix
from tlx.config.naming import identity_hash
from tlx.data.datamodule import ImageDataModule
from tlx.features.boundary import Request
from tlx.features.prefix_cache import PrefixCache
from tlx.features.store import Store
from tlx.measures.interval_text import with_interval
from tlx.measures.names import ends
from tlx.measures.over_folds import corrected_interval, fold_remarks
from tlx.measures.remarks import class_remarks, gap_remarks
from tlx.procedures import procedure_of
from tlx.procedures.base import Procedure
from tlx.procedures.one_fold import FoldImages, HeldOut, OneFold, figures_of, train_fold
from tlx.records.out_of_fold import FILE as OUT_OF_FOLD
from tlx.records.out_of_fold import OutOfFold
from tlx.runs.run import Run
from tlx.strategies.folds import count_of_folds, of_fold
from tlx.tasks.catalog import headline_in
from tlx.tasks.classification.ensemble import Ensemble
from tlx.tasks.module import Task
from tlx.training.epoch_length import epoch_of, folds_line
from tlx.training.experiment import build_task, need_possible_network
from tlx.training.planning import plan
from tlx.training.timing import Timing
from tlx.training.trainer import build_cache, build_trainer

log = logging.getLogger("tlx")
FIGURES = ("accuracy", "balanced_accuracy", "f1", "loss")


class KFold(Procedure):
    """Trains a network for each fold (`one_fold.py`), and writes what it predicts for the images of that fold."""

    def __init__(self, config: DictConfig, data: ImageDataModule, task: Task, interruption: Interruption) -> None:
        super().__init__(config, data, task, interruption)
        assert isinstance(data, OneFold)
        self.images = data.all_folds
        self.folds, self.repeats = int(config.validation.folds), int(config.validation.repeats)
        self.networks_written = count_of_folds(config) + 1
        self.held_out: list[HeldOut] = []
        self._own_rows: Store | None = None

    @staticmethod
    def timing(config: DictConfig, data: ImageDataModule, task: Task) -> Timing:
        """Time the network as one fold would."""
        own = of_fold(config, 1)
        return procedure_of(own).timing(own, data, task)

    @classmethod
    def build(cls, config: DictConfig) -> tuple[ImageDataModule, Task]:
        """Load the images of all folds, and build the network of the first."""
        refuse_foreign_targets(OmegaConf.to_container(config, resolve=True), "the configuration")
        pl.seed_everything(config.seed, verbose=False)
        images = FoldImages(config)
        data = images.data_of(config, 1)
        own = of_fold(config, 1)
        task = build_task(own, images.backbone, data, procedure_of(own).head)
        need_possible_network(own, task, data)
        return data, task

    @staticmethod
    def resumes_at(run: Run) -> str:
        """Return how many folds are finished."""
        done = sum(one.finished for one in run.fold_directories)
        return f"after {counted(done, 'fold', 'folds')}"

    def train_only(self, identity: str) -> dict[str, float]:
        """Not used: a fold is not divided into folds."""
        raise NotImplementedError

    def _first_trained(self) -> tuple[str, ...]:
        own = of_fold(self.config, 1)
        return () if own.get("classifier") is not None else plan(own, self.task.group_names)[0].trained

    def _fit(self, from_scratch: bool) -> None:
        self._describe_folds()
        config = self._with_rows()
        identity = identity_hash(self.config)
        for number in range(1, self.folds * self.repeats + 1):
            if self.interruption.requested is not None:
                self.interruption.stop()
            place = self.run.directory / "folds" / str(number)
            one = train_fold(config, self.images, number, place, self.interruption, f"{identity} fold {number}")
            self.held_out.append(one)
            log.info("  %s", self._line(one))
        table = self._table()
        self.run.write(OUT_OF_FOLD, table.csv())
        figures = self._figures(table)
        for line in self._closing(figures, len(self.images.pool.images)):
            log.info("%s", line)
        self._test(figures)
        if self._own_rows is not None:
            for entry in self._own_rows.entries():
                entry.remove()

    def _describe_folds(self) -> None:
        """Write and log the description of images, folds and network."""
        config, task, checked = self.config, self.task, self.images.pool.checked
        images = checked.images
        task.carry(self.run.describe_model(task, self.data.preprocessing, config, self.data.fingerprint()))
        weights = sum(tensor.nbytes for tensor in (*task.parameters(), *task.buffers()))
        refuse_little_room(self.run.directory, self.networks_written * weights)
        size = self.data.preprocessing.short_side
        lines = [f"{images.name}: {counted(len(images.class_names), 'class', 'classes')}; {images.rule}"]
        lines.append(f"  folds {len(images.train):>7,} images in {self.folds} folds")
        lines.append(f"  test  {len(images.test):>7,} images")
        lines += [f"  warning: {line}" for line in self.data.checked.findings(size)]
        for text in (*lines, task.backbone.report, self._still_random(), task.head_report):
            if text is not None and str(text):
                log.info("%s", text)
        log.info("  %s", self._length())

    def _length(self) -> str:
        own = of_fold(self.config, 1)
        if own.get("classifier") is not None:
            return f"{count_of_folds(self.config)} folds, a classifier for each"
        epoch = epoch_of(own, self.data)
        return folds_line(self.config, plan(own, self.task.group_names, epoch.steps), epoch)

    def _with_rows(self) -> DictConfig:
        """Return the configuration with a cache: without one of the user's, one of the run, which it removes."""
        if self.config.cache.enabled:
            return self.config
        place = self.run.directory / "folds" / "rows"
        log.info("  outputs of frozen layers are kept in %s until the run ends (cache=off)", place)
        self._own_rows = Store(place)
        config = self.config.copy()
        OmegaConf.update(config, "cache.enabled", True)
        OmegaConf.update(config, "cache.dir", str(place))
        return config

    def _line(self, one: HeldOut) -> str:
        repeat, fold = divmod(one.number - 1, self.folds)
        again = f", repeat {repeat + 1}/{self.repeats}" if self.repeats > 1 else ""
        figures = one.figures
        return (
            f"fold {fold + 1}/{self.folds}{again}: {counted(len(one.index), 'image', 'images')} held out, accuracy "
            f"{figures['accuracy']:.4f}, loss {figures['loss']:.4f}, {one.cost.seconds:.1f} s"
        )

    def _table(self) -> OutOfFold:
        """Return the predictions of all repeats, each in the order of the images."""
        samples = self.images.pool.images
        rows: list[tuple[int, int, int, int, list[float]]] = []
        for one in self.held_out:
            repeat, fold = divmod(one.number - 1, self.folds)
            for i, label, values in zip(one.index, one.labels.tolist(), one.probabilities.tolist(), strict=True):
                rows.append((repeat + 1, i, fold + 1, label, values))
        rows.sort(key=lambda row: row[:2])
        repeats, index, folds, labels = (torch.tensor([row[i] for row in rows]).numpy() for i in range(4))
        probabilities = torch.tensor([row[4] for row in rows], dtype=torch.float64).numpy()
        names = [samples[i].name for i in index.tolist()]
        return OutOfFold(names, self.data.class_names, labels, folds, repeats, probabilities)

    def _figures(self, table: OutOfFold) -> dict[str, float]:
        """Return `cv/…`, means over folds with intervals; `val/…`, of all held-out images together; `train/…`."""
        found: dict[str, float] = {}
        each = [one.figures for one in self.held_out]
        for name in FIGURES:
            values = [figures[name] for figures in each]
            low, high = corrected_interval(values, self.folds)
            if name != "loss":
                low, high = max(low, 0.0), min(high, 1.0)
            found |= dict(zip((f"cv/{name}", *ends(f"cv/{name}")), (statistics.fmean(values), low, high), strict=True))
        mean = table.mean()
        together = figures_of(torch.from_numpy(mean.probabilities), torch.from_numpy(mean.labels))
        costs = [one.cost for one in self.held_out]
        return {
            **{name: value for name, value in found.items() if math.isfinite(value)},
            **{f"val/{name}": value for name, value in together.items()},
            "train/seconds": sum(one.seconds for one in costs),
            "train/epochs": sum(one.epochs for one in costs),
            "train/steps": sum(one.steps for one in costs),
        }

    def _closing(self, figures: Mapping[str, float], images: int) -> Sequence[str]:
        lines = [
            f"held out, {counted(images, 'image', 'images')}: mean of the folds with its interval, and all together"
        ]
        for name in FIGURES:
            low, high = (figures.get(end, math.nan) for end in ends(f"cv/{name}"))
            mean = with_interval(figures[f"cv/{name}"], (low, high))
            lines.append(f"  {name:<17}  {mean:<25}  {figures[f'val/{name}']:.4f}")
        return lines

    def _test(self, figures: Mapping[str, float]) -> None:
        """Test all networks together; the test split is read only here."""
        together = self.run.model
        together.set_memory_format(bool(self.config.trainer.channels_last))
        recorder = self._recorder()
        callbacks: list[pl.Callback] = [recorder]
        own = of_fold(self.config, 1)
        self.cache = build_cache(self.config, self.data, self.interruption)
        if self.cache is not None and own.get("classifier") is None:
            epoch = epoch_of(own, self.data)
            callbacks.insert(0, UntouchedPrefix(plan(own, together.group_names, epoch.steps), self.cache))
        evaluator = build_trainer(self.config, callbacks, [], epochs=1, eval_only=True, data=self.data)
        tested = dict(evaluator.test(together, datamodule=self.data, verbose=False)[0])
        if self.cache is not None and own.get("classifier") is None and self._compares_features(together):
            self._find_features(self.cache, together, evaluator)
        self._finish(together, evaluator, figures, tested, recorder)

    def _find_features(self, cache: PrefixCache, together: Task, evaluator: pl.Trainer) -> None:
        """Let the cache look up the features of the first fold, which were stored when the folds trained."""
        if self.data.augmented() and not self.config.cache.views:  # every epoch had other ones
            return
        how = cache.numerics(together, evaluator.precision, evaluator.precision_plugin.forward_context)
        names = together.backbone.group_names
        boundary = cache.boundary(together, names, self.data.sizes["train"] + self.data.sizes["val"], how)
        if boundary is not None and boundary.name == names[-1]:
            for split, view in (("train", 0 if self.data.augmented() else None), ("val", None)):
                cache.rows(together, Request(split, view, boundary), how)

    def _compares_features(self, best: Task) -> bool:
        """Return whether all networks share their features, of which those of held-out images are not learned."""
        return isinstance(best, Ensemble) and best.whole

    def _remarks(self, figures: Mapping[str, float]) -> list[str]:
        kind, images = self.task.kind, len(self.images.pool.images)
        if headline_in(figures) != kind.headline:
            return []
        place = str(self.run.directory / OUT_OF_FOLD)
        first = self.held_out[: self.folds]
        folds = fold_remarks([one.right for one in first], [len(one.index) for one in first], place)
        gap = gap_remarks(figures, kind.headline, images, self.data.sizes["test"])
        return [*folds, *gap, *class_remarks(figures, kind.headline, kind.of_class)]


PROCEDURE = KFold
