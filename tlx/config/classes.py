"""Check nodes that name a class of another library: the class exists and accepts the keys."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake, closest, did_you_mean
from tlx.base.typecheck import check_node, show
from tlx.building import targets
from tlx.building.loggers import lacks_package, logger_nodes
from tlx.config.classifier_values import wrong_values
from tlx.config.ranges import check_arguments
from tlx.config.schema import SCHEMAS, Classifier, Optimizer


def check_optimizer(node: Any) -> Iterator[Mistake]:
    """Yield the mistakes of an optimizer node."""
    accepted = yield from _accepted(node, Optimizer, "optimizer", "an optimizer class", "torch.optim.AdamW")
    if accepted is None:
        return
    target = str(node["_target_"])
    if "lr" not in accepted:
        yield Mistake("optimizer._target_", "the dotted path of an optimizer class", f"'{target}' (takes no lr)")
        return
    own = set(Optimizer.__dataclass_fields__)
    names = own | set(accepted) - {"params", "foreach", "capturable", "differentiable", "maximize"}
    for key in (k for k in node if k not in own and k not in accepted):
        # A class set by _target_ also receives the keys of the option's file.
        near = closest(key, names)
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(sorted(names))};"
        hint += f" or leave it out: ~optimizer.{key}"
        yield Mistake(f"optimizer.{key}", f"a key that tlx or {target} takes", f"'{key}'", hint)
    yield from check_arguments(node)


def check_logger(node: Any) -> Iterator[Mistake]:
    """Yield the mistakes of a logger node."""
    if not isinstance(node, Mapping):
        yield Mistake("logger", "options of the group logger", show(node))
        return
    nodes = logger_nodes(node)
    for key in (k for k in node if k != "_target_" and "logger" not in nodes and f"logger.{k}" not in nodes):
        if nodes:
            first = next(iter(nodes))
            yield Mistake(f"logger.{key}", "a logger's name before the key", f"'{key}'", f"type: {first}.{key}=…")
        else:
            yield Mistake(f"logger.{key}", "a known key", f"'{key}'", "logger=none has none")
    for place, one in nodes.items():
        yield from _check_one_logger(one, place)


def _check_one_logger(node: Mapping[str, Any], place: str) -> Iterator[Mistake]:
    target = node.get("_target_")
    if target is None:
        yield Mistake(f"{place}._target_", "the dotted path of a logger", "nothing")
    elif not isinstance(target, str):
        return  # reported by check_plain
    elif package := lacks_package(target):
        yield Mistake(place, f"the package {package}", "none", f"type: pip install 'tlx[{package}]'")
    elif target in SCHEMAS:
        yield from check_node(node, SCHEMAS[target], place)
    else:
        try:
            accepted = targets.parameters(str(target)) or []
        except LookupError as error:
            hint = did_you_mean(str(target).rpartition(".")[2], error.args[1])
            yield Mistake(f"{place}._target_", "the dotted path of a logger", show(target), hint)
            return
        for key in node if accepted else ():
            if key not in ("_target_", *accepted):
                yield Mistake(f"{place}.{key}", f"a key that {target} takes", f"'{key}'", did_you_mean(key, accepted))


def check_classifier(node: Any) -> Iterator[Mistake]:
    """Yield the mistakes of a classifier node."""
    accepted = yield from _accepted(node, Classifier, "classifier", "a classifier class", "sklearn.svm.SVC")
    if accepted is None:
        return
    target = str(node["_target_"])
    own, search = set(Classifier.__dataclass_fields__), node.get("search")
    asked = {f"classifier.search.{k}": k for k in search} if isinstance(search, Mapping) else {}
    asked |= {f"classifier.{k}": k for k in node if k not in own}
    for path, key in asked.items():
        if key not in accepted:
            hint = did_you_mean(key, accepted) or f"known: {', '.join(sorted(accepted))}"
            yield Mistake(path, f"a key that {target} takes", f"'{key}'", hint)
    yield from wrong_values(node, own)


def _accepted(
    node: Any, schema: type, part: str, what: str, example: str
) -> Generator[Mistake, None, list[str] | None]:
    """Yield mistakes of tlx's own keys, and a mistake if the class does not exist.

    Returns:
        The keys that the class accepts; None: any, or unknown.
    """
    if not isinstance(node, Mapping):
        yield Mistake(part, f"one option of the group {part}", show(node))
        return None
    yield from check_node(node, schema, part, allow_extra=True)
    target = str(node.get("_target_"))
    if not isinstance(node.get("_target_"), str) or not target.isprintable():
        return None  # reported by check_plain
    try:
        return targets.parameters(target)
    except LookupError as error:
        module, _, name = target.rpartition(".")
        near = closest(name, error.args[1])
        hint = f"did you mean '{module}.{near}'?" if near else f"for example {example}"
        yield Mistake(f"{part}._target_", f"the dotted path of {what}", f"'{target}'", hint)
        return None
