"""Check all of a composed configuration before torch is imported or anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tlx.adaptation.keys import OF_CLASS_SCORES, OF_POOLED_FEATURES
from tlx.backbones import catalog as backbone_catalog
from tlx.backbones.file_kinds import kind_of as kind_of_file
from tlx.backbones.file_kinds import no_such_file
from tlx.base.errors import Mistake, TlxError, closest, did_you_mean
from tlx.base.typecheck import check_node, check_value, show
from tlx.building import safety
from tlx.building.listed import SOURCES
from tlx.config import leads
from tlx.config.classes import check_classifier, check_logger, check_optimizer
from tlx.config.kfold import kfold_mistakes
from tlx.config.micro_batch import check_micro_batch
from tlx.config.ranges import check_plain
from tlx.config.schema import SCHEMAS, Experiment
from tlx.config.trainer_values import check_trainer
from tlx.data.catalog import source_of
from tlx.data.labels import CLASSES
from tlx.data.sources.base import OwnSource
from tlx.records.files import read_model
from tlx.records.settled import AUTO
from tlx.strategies.checks import check_groups, check_plan
from tlx.strategies.monitor import best_of
from tlx.tasks.catalog import KINDS, kind_of

Node = Mapping[str, Any]


def check(config: Node, doubtful: frozenset[str] = frozenset()) -> list[Mistake]:
    """Return every mistake of a composed configuration.

    Args:
        config: Plain values.
        doubtful: Paths of nodes and keys that differ from what the user asked for because that does not exist.
            The check draws no conclusions from them.
    """
    refused = list(_check_foreign(config))
    reported = frozenset({*doubtful, *(m.path for m in refused)})
    found = [_placed(config, m) for m in _check_rest(config, {_part(path) for path in doubtful}, refused)]
    return [*refused, *(leads.follow(m, config) for m in found if not _below(m.path, reported))]


def _part(path: str) -> str:
    """Return the top-level node of a path."""
    return path.partition(".")[0].partition("[")[0]


def _below(path: str, others: frozenset[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in others)


def _check_rest(config: Node, doubtful: set[str], refused: list[Mistake]) -> list[Mistake]:
    mistakes = list(check_node(config, Experiment, ""))
    mistakes += _check_figures(config)
    for part in ("backbone", "dataset", "target", "task"):
        if part in config and not (part == "target" and config[part] is None):
            mistakes += _check_target_node(config[part], part)
    if "strategy" not in doubtful:
        mistakes += _check_adapt(config)
        mistakes += _check_classifier(config)
    if "optimizer" in config:
        mistakes += check_optimizer(config["optimizer"])
    if "logger" in config:
        mistakes += check_logger(config["logger"])
    reported = {m.path for m in [*mistakes, *refused]}
    mistakes += [m for m in check_plain(config) if m.path not in reported]
    for key in ("output_dir", "run_name", "run_dir"):
        if config.get(key) == "":
            mistakes.append(Mistake(key, "a text", "an empty one", "leave it out"))
    if isinstance(config.get("trainer"), Mapping) and not any(_part(m.path) == "trainer" for m in mistakes):
        mistakes += check_trainer(config)
    broken = {_part(m.path) for m in [*mistakes, *refused]} | doubtful
    # Checks that span several nodes run only on nodes that are valid on their own.
    if "dataset" not in broken:
        found = source_of(config["dataset"]).mistakes()
        mistakes += found
        broken |= {"dataset"} if found else set()
    if config.get("target") is not None and not broken & {"target", "dataset"}:
        mistakes += _check_target_domain(config["target"], config["dataset"])
    if "backbone" not in broken:
        mistakes += _check_backbone(config["backbone"])
    if "task" not in broken and config["task"]["_target_"] in SCHEMAS:
        mistakes += _check_monitor(config["task"])
    if not broken & {"dataset", "trainer"}:
        mistakes += _check_batch(config["dataset"], config["trainer"])
    if not broken & {"dataset", "task"}:
        mistakes += _check_validation(config)
    if not broken & {"dataset", "task", "strategy"}:
        mistakes += check_micro_batch(config)
    if not broken & {"task", "trainer"}:
        mistakes += _check_precision(config["task"], config["trainer"])
    if not broken & {"dataset", "task"}:
        of_other_labels = list(_check_labels(config["task"], config["dataset"]))
        mistakes += of_other_labels or kind_of(config["task"]).mistakes(config["task"], config["dataset"])
    if "validation" not in broken:
        mistakes += kfold_mistakes(config)
    if not broken & {"backbone", "strategy"}:
        names = group_names(config["backbone"])
        optimizer = {} if "optimizer" in broken else config["optimizer"]
        kind = kind_of(config["task"]) if isinstance(config.get("task"), Mapping) else None
        if names and kind is not None and kind.schema is not None:  # a user's own task is checked when it is built
            mapped = [name for name in names if not (kind.reads_maps and name in backbone_catalog.VECTORS)]
            there = [*mapped, *kind.upper_groups]
            mistakes += check_plan(config["strategy"], optimizer, there, kind.upper_groups)
            if "trainer" not in broken and (again := config["trainer"].get("checkpoint_groups")) is not None:
                mistakes += check_groups(there, again, "trainer.checkpoint_groups", "checkpointing", kind.upper_groups)
    return mistakes


def _placed(config: Node, mistake: Mistake) -> Mistake:
    """Add a hint to an unknown top-level key that a node has, or nearly has: `lr` is `optimizer.lr`."""
    if mistake.expected != "a known key" or mistake.path not in config:
        return mistake
    nodes = {part: node for part, node in config.items() if isinstance(node, Mapping)}
    places = {str(key): f"{part}.{key}" for part, node in reversed(nodes.items()) for key in node}
    near = mistake.path if mistake.hint or mistake.path in places else closest(mistake.path, places)
    return replace(mistake, hint=f"did you mean '{places[near]}'?") if near in places else mistake


def _check_foreign(config: Node) -> Iterator[Mistake]:
    """Yield targets in files that the user has not allowed.

    `_check_target_node` reports names that start with `tlx.` and names that are not dotted paths.
    """
    for found in safety.foreign(config):
        text = str(found.value)
        checked_as_node = found.key == "_target_" and found.place in ("backbone", "dataset", "target", "task")
        if not (checked_as_node and ("." not in text or text.startswith("tlx."))):
            yield Mistake(found.path, found.expected, found.got, found.hint)


def group_names(backbone: Node) -> tuple[str, ...] | None:
    """Return a backbone's layer groups without building it; None if it must be built (timm, a user's own)."""
    target = str(backbone.get("_target_"))
    if target == "tlx.backbones.run_backbone":
        try:
            return tuple(read_model(Path(backbone["run"]).expanduser())["group_names"])
        except (TlxError, FileNotFoundError):  # reported as a mistake of backbone.run
            return None
    name = str(backbone.get("architecture") if target == "tlx.backbones.file_backbone" else backbone.get("name"))
    known = target in SCHEMAS and target not in ("tlx.backbones.timm_backbone", "tlx.backbones.own_backbone")
    return backbone_catalog.group_names(name) if known and name in _fixed_architectures() else None


def _check_target_node(node: Any, part: str) -> Iterator[Mistake]:
    if not isinstance(node, Mapping):
        yield Mistake(part, f"one option of the group {part}", show(node))
        return
    if hint := leads.label_hint(part, node):
        yield Mistake(f"{part}.name", "a label", f"'{node['name']}', which is another one of the group {part}", hint)
    target = node.get("_target_")
    if target is not None and not isinstance(target, str):
        return  # reported by check_plain
    if target in SCHEMAS:
        yield from check_node(node, SCHEMAS[target], part)
    elif part in ("dataset", "target") and isinstance(target, str):
        source = source_of(node)
        yield from check_node(node, source.keys, part, allow_extra=source.has_further_keys)
        if target.startswith("tlx.") and target not in SOURCES:
            yield _unknown_target(part, target, "a class or function of tlx")
    elif not isinstance(target, str) or "." not in target:
        yield _unknown_target(part, target, "the dotted path of a class or function")
    elif target.startswith("tlx."):
        yield _unknown_target(part, target, "a class or function of tlx")


def _unknown_target(part: str, target: Any, expected: str) -> Mistake:
    hint = did_you_mean(str(target), [*SCHEMAS, *SOURCES])
    return Mistake(f"{part}._target_", expected, show(target), hint)


def _check_figures(config: Node) -> Iterator[Mistake]:
    """Check that the task has the metrics by which the strategy selects."""
    strategy, task = config.get("strategy"), config.get("task")
    if not isinstance(strategy, Mapping) or not isinstance(task, Mapping):
        return
    kind = kind_of(task)
    if kind.monitors and isinstance(monitor := strategy.get("monitor"), str):
        yield from check_value(monitor, Literal[kind.monitors], "strategy.monitor")
    if kind.scorings and isinstance(scoring := strategy.get("scoring"), str):
        yield from check_value(scoring, Literal[kind.scorings], "strategy.scoring")


def _check_adapt(config: Node) -> Iterator[Mistake]:
    """Check a strategy that adapts, and what it requires of the other nodes."""
    strategy, target = config.get("strategy"), config.get("target")
    if not isinstance(strategy, Mapping):
        return
    adapt, trainer = strategy.get("adapt"), config.get("trainer")
    if adapt is not None:
        yield from _check_target_node(adapt, "strategy.adapt")
        if target is None:
            expected = f"a data set of the target domain for strategy={strategy.get('name')}"
            yield Mistake("target", expected, "none", "such as target=usps; all: tlx list targets")
        yield from _check_adapted_task(strategy, adapt, config.get("task"))
        if isinstance(trainer, Mapping) and trainer.get("strategy") == "fsdp":
            yield Mistake("trainer.strategy", "auto or ddp with a strategy that adapts", "'fsdp'")
    task = config.get("task")
    asked = {"strategy.monitor": strategy.get("monitor") if adapt is None else None}
    asked["task.monitor"] = task.get("monitor") if isinstance(task, Mapping) else None
    for path, monitor in asked.items():
        if target is None and str(monitor).startswith("target/"):
            yield Mistake(path, "a metric of val/ without a target domain", f"'{monitor}'", "val/loss, or target=…")


def _check_validation(config: Node) -> Iterator[Mistake]:
    """Check that validation images are left where whole tasks rest on them."""
    for part in ("dataset", "target"):
        node = config.get(part)
        if not isinstance(node, Mapping) or node.get("val_fraction") != 0:
            continue
        hint = f"for example {part}.val_fraction=0.1"
        if config.get("target") is not None:
            expected = "a fraction above 0 with a target domain: its validation images select the weights"
            yield Mistake(f"{part}.val_fraction", expected, "0", hint)
        elif kind_of(config["task"]).reads_maps:
            expected = f"a fraction above 0 with task={config['task'].get('name')}, whose weights validation selects"
            yield Mistake(f"{part}.val_fraction", expected, "0", hint)


def _check_precision(task: Node, trainer: Node) -> Iterator[Mistake]:
    """Check that targets keep their values: Lightning converts a whole batch to a type such as that of bf16-true."""
    precision = str(trainer.get("precision"))
    if kind_of(task).exact_targets and precision in ("bf16-true", "16-true"):
        expected = f"a precision that keeps targets exact, with task={task.get('name')}"
        hint = f"type trainer.precision={precision.replace('true', 'mixed')}"
        yield Mistake("trainer.precision", expected, f"'{precision}'", hint)


def _check_adapted_task(strategy: Node, adapt: Any, task: Any) -> Iterator[Mistake]:
    """Check that the task gives what the adaptation compares. A user's own task may give it."""
    if not isinstance(adapt, Mapping) or not isinstance(task, Mapping):
        return
    kind, target = kind_of(task), str(adapt.get("_target_"))
    if kind.schema is None:
        return
    if kind.reads_maps and target in OF_CLASS_SCORES | OF_POOLED_FEATURES:
        expected = f"adabn with task={task.get('name')}: the other adaptations compare one vector per image"
        yield Mistake("strategy", expected, f"'{strategy.get('name')}'", "type strategy=adabn")
    elif target in OF_CLASS_SCORES and not kind.gives_class_scores:
        expected = f"a task that gives class scores, for strategy={strategy.get('name')}"
        yield Mistake("strategy", expected, f"task={task.get('name')}", "such as strategy=coral, which needs none")


def _check_classifier(config: Node) -> Iterator[Mistake]:
    """Check a classifier on features, and that the strategy extracts features for it."""
    strategy, node = config.get("strategy"), config.get("classifier")
    if not isinstance(strategy, Mapping):
        return
    reads = strategy.get("groups") is not None
    if reads and strategy.get("stages") and strategy.get("name") == "features":
        expected = "no stages with strategy.groups: no layers are trained"
        yield Mistake("strategy.stages", expected, "some", "leave strategy.stages out")
        return
    if reads and strategy.get("stages"):
        typed = f"type: strategy=features strategy.groups={strategy['groups']}, or leave strategy.groups out"
        yield Mistake("strategy.groups", "strategy=features with it", f"strategy={strategy.get('name')}", typed)
        return
    if reads and node is None:
        yield Mistake(
            "classifier", "a classifier for the features", "none", "such as classifier=svm; all: tlx list classifiers"
        )
    if node is None:
        return
    if (of_others := _labels_of_others(config)) is not None:
        hint = "leave classifier out and type a strategy that trains layers, such as strategy=linear_probe"
        yield Mistake("classifier", "labels that are classes of images", of_others, hint)
        return
    if not reads:
        got = f"strategy={strategy.get('name')}"
        yield Mistake(
            "classifier", "a strategy that extracts features", got, "type: strategy=features, or leave classifier out"
        )
        return
    if isinstance(node, Mapping) and node.get("_target_") is None:  # keys without a class
        yield Mistake("classifier", "one option of the group classifier", "none", "such as classifier=logreg")
        return
    for path in ("task.class_weights", "dataset.sampling"):  # a classifier is not trained in batches
        part, _, key = path.partition(".")
        value = config[part].get(key) if reads and isinstance(config.get(part), Mapping) else None
        if value is not None:
            hint = "for most classifiers: classifier.class_weight=balanced"
            yield Mistake(path, "null with a classifier", show(value), hint)
    yield from check_classifier(node)


def _labels_of_others(config: Node) -> str | None:
    """Return which task or data set has labels other than classes of images; None: neither is known to."""
    task, dataset = config.get("task"), config.get("dataset")
    if isinstance(task, Mapping) and (kind := kind_of(task)).schema is not None and not kind.scorings:
        return f"task={task.get('name')}"
    if isinstance(dataset, Mapping) and (labels := source_of(dataset).labels) != CLASSES.name:
        return f"dataset={dataset.get('name')}, whose labels are {labels}"
    return None


def _check_target_domain(target: Node, dataset: Node) -> Iterator[Mistake]:
    if target.get("sampling") is not None:
        hint = "to balance the source: dataset.sampling=balanced"
        yield Mistake("target.sampling", "null: target labels are not used", show(target["sampling"]), hint)
    for key in ("labels_per_class", "fraction"):
        if target.get(key) is not None:
            hint = "to train on a few labels of the target: dataset=TARGET backbone=run backbone.run=RUN"
            yield Mistake(f"target.{key}", "null: target labels are not used", show(target[key]), hint)
    if target.get("folds") is not None:
        yield Mistake(
            "target.folds", "null: folds divide the labelled images", show(target["folds"]), "type dataset.folds"
        )
    found = source_of(target).mistakes()
    yield from (replace(m, path=_of_target(m.path), hint=_of_target(m.hint)) for m in found)
    own, others = (source_of(node).class_names() for node in (dataset, target))
    if not found and own is not None and others is not None and not set(others) <= set(own):
        unknown = [name for name in others if name not in own]
        hint = f"select the shared ones: target.classes=[{','.join(name for name in own if name in others)}]"
        yield Mistake("target", f"only classes of the source: {', '.join(own)}", f"also {', '.join(unknown)}", hint)


def _of_target(text: str) -> str:
    return text.replace("dataset.", "target.")


def _check_backbone(node: Node) -> Iterator[Mistake]:
    target = node.get("_target_")
    if target == "tlx.backbones.torchvision_backbone" and node["name"] not in backbone_catalog.TORCHVISION:
        hint = did_you_mean(node["name"], backbone_catalog.TORCHVISION)
        yield Mistake("backbone.name", "a torchvision model", f"'{node['name']}'", hint)
    if target == "tlx.backbones.run_backbone":
        run = Path(node["run"]).expanduser()
        if not (run / "model.json").exists():
            beside = [p.parent.name for p in run.parent.glob("*/model.json")] if run.parent.is_dir() else []
            found = "a directory without model.json" if run.is_dir() else "no such directory"
            near = closest(run.name, beside)
            hint = f"did you mean '{run.parent / near}'?" if near else "train one first: tlx train …"
            yield Mistake("backbone.run", "the directory of a finished tlx run", f"'{node['run']}' ({found})", hint)
            return
        try:
            if folds := read_model(run).get("folds"):
                got, hint = (
                    f"'{node['run']}', which holds {folds}",
                    f"choose a fold: backbone.run={run / 'folds' / '1'}",
                )
                yield Mistake("backbone.run", "the run of one network", got, hint)
        except TlxError as error:
            reason, _, hint = str(error).rpartition("; ")
            yield Mistake("backbone.run", "the directory of a finished tlx run", f"'{node['run']}': {reason}", hint)
    if target == "tlx.backbones.file_backbone":
        yield from _check_weight_file(node["path"])
        name = node["architecture"]
        known = (*_fixed_architectures(), *backbone_catalog.SHORT)
        if not name.startswith("timm/") and name not in known:
            hint = did_you_mean(name, known)
            yield Mistake("backbone.architecture", "a network of torchvision or tlx, or timm/NAME", f"'{name}'", hint)


def _check_weight_file(name: str) -> Iterator[Mistake]:
    path = Path(name).expanduser()
    try:
        kind = kind_of_file(path)
        what, hint = no_such_file(path) if kind is None else (kind.what, kind.hint)
    except (OSError, ValueError) as error:  # no permission; a name that the system does not accept
        kind, what, hint = None, f"cannot be read: {getattr(error, 'strerror', None) or error}", ""
    if kind is None or kind.reader is None:
        yield Mistake("backbone.path", "a file with weights", f"{show(name)} ({what})", hint)


def _check_monitor(task: Node) -> Iterator[Mistake]:
    monitor, mode = task.get("monitor"), task.get("mode")
    right = best_of(str(monitor))
    if mode in ("min", "max") and mode != right:  # otherwise the worst checkpoint is kept as the best
        yield Mistake("task.mode", f"{right} for task.monitor={monitor}", f"'{mode}'", f"type: task.mode={right}")


def _check_labels(task: Node, dataset: Node) -> Iterator[Mistake]:
    """Yield a mistake if a task cannot learn from the labels of a data set, with the tasks that can."""
    source, kind = source_of(dataset), kind_of(task)
    if kind.labels in (None, source.labels) or isinstance(source, OwnSource):
        return
    fitting = [target.rpartition(".")[2].lower() for target, one in KINDS.items() if one.labels == source.labels]
    hint = f"type task={' or task='.join(fitting)}" if fitting else ""
    got = f"'{task['name']}', which learns from {kind.labels}"
    yield Mistake("task", f"a task that learns from the {source.labels} of dataset '{dataset['name']}'", got, hint)


def _check_batch(dataset: Node, trainer: Node) -> Iterator[Mistake]:
    devices = trainer.get("devices", "auto")
    count = len(devices) if isinstance(devices, list) else devices
    batch = dataset.get("batch_size", AUTO)
    if batch != AUTO and isinstance(count, int) and count > 0 and batch % (count * trainer.get("num_nodes", 1)):
        count *= trainer.get("num_nodes", 1)
        hint = f"for example dataset.batch_size={max(1, round(batch / count)) * count}"
        yield Mistake("dataset.batch_size", f"a multiple of {count}, the number of processes", show(batch), hint)


def _fixed_architectures() -> tuple[str, ...]:
    return (*backbone_catalog.TORCHVISION, "small_cnn", "efficientnet_lite0")
