"""Find the chain of modules that computes a timm model's features by recording a forward pass.

Most timm models are written as `x = self.a(x); x = self.b(x); …`: the input of each module is the output of the
previous one. Such a chain can be cut between any two modules. Arbitrary code may run before the chain (a Vision
Transformer adds its positions), but not between its modules.

A module of the chain may take further arguments, such as rotary embeddings, if they depend on the size of the image
and not on its pixels: then they can be computed again wherever the network is entered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from tlx.base.compat.torch import changes, tensors_in
from tlx.base.errors import TlxError


@dataclass
class Call:
    """One call of a module during a forward pass.

    Args:
        name: The module's name in the model.
        given: Its first input; None if that is not a tensor.
        arguments: Its further inputs other than None and False.
        version: How often the input had been changed in place before the call.
        result: Its output; None if that is not a tensor.
        result_version: How often the output had been changed in place when it was returned.
        in_place: Whether the call changed its input.
        inner: The calls of its own modules, in order.
    """

    name: str
    given: Tensor | None
    version: int
    arguments: list[Any] = field(default_factory=list)
    result: Tensor | None = None
    result_version: int = 0
    in_place: bool = False
    inner: list[Call] = field(default_factory=list)

    def follows(self, other: Call) -> bool:
        """Return whether the input of this call is the unchanged output of another one."""
        return self.given is not None and self.given is other.result and self.version == other.result_version


@dataclass(frozen=True)
class Chain:
    """The chain of modules that computes a model's features.

    Args:
        before: Names of the modules that run before the chain, possibly with code between them.
        modules: Names of the chain's modules, in order.
        from_image: Whether the chain's first module takes the image.
        in_place: Names of modules of the chain that change their input.
        head: Names of the modules that turn features into pooled features.
        shapes: Name in the chain -> shape of its output.
        num_features: Width of the pooled features.
        arguments: Names of modules of the chain that take further arguments.
        uncalled: With `arguments`, names of modules outside the chain that the network reads without calling them.
    """

    before: list[str]
    modules: list[str]
    from_image: bool
    in_place: set[str]
    head: list[str]
    shapes: dict[str, tuple[int, ...]]
    num_features: int
    arguments: set[str] = field(default_factory=set)
    uncalled: list[str] = field(default_factory=list)


def find_chain(
    model: nn.Module, image: Tensor, features: list[str], arguments: bool = False, to_head: bool = True
) -> Chain:
    """Run a model and return the chain that contains all its feature modules.

    Args:
        model: A timm model in eval mode, on the device of `image`, which may be the meta device.
        image: Shape (B, C, H, W).
        features: Names of the modules whose outputs are the model's features, bottom to top.
        arguments: Whether modules of the chain may take further arguments. Then `image` must require a gradient and the
            model's parameters must not: an argument that requires one depends on the pixels.
        to_head: Whether the chain must reach the head; otherwise `model` is any network, and the chain ends at
            the last feature.

    Raises:
        TlxError: No chain contains all features and reaches the head.
    """
    modules = dict(model.named_modules())
    missing = [name for name in features if name not in modules]
    if missing or not features:
        raise TlxError(f"expected features at modules of the network, got {missing or 'none'}")
    root = Call("", image, changes(image))
    with _watch(modules, root):
        root.result = model.forward_features(image) if to_head else model(image)  # type: ignore[operator]
        root.result_version = changes(root.result) if isinstance(root.result, Tensor) else 0
    calls = list(_expand(root.inner, features, root.result))
    if not arguments:
        calls = [replace(call, given=None) if call.arguments else call for call in calls]
    names = [call.name for call in calls]
    if not to_head and features[-1] in names:
        names = names[: names.index(features[-1]) + 1]
        calls = calls[: len(names)]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise TlxError(f"expected every module to run once, got {', '.join(twice)} several times")
    absent = [name for name in features if name not in names]
    if absent:
        raise TlxError(f"expected a chain of modules through all features, got none through {', '.join(absent)}")

    breaks = [i for i, call in enumerate(calls) if i > 0 and not call.follows(calls[i - 1])]
    start = breaks[-1] if breaks else 0
    if start > names.index(features[0]):
        raise TlxError(f"expected a chain of modules, got other computation between the features, at {names[start]}")
    if calls[start].arguments and not arguments:
        raise TlxError(f"expected a chain of modules with one input each, got more at {names[start]}")
    for call in calls[start:]:
        if any(isinstance(value, Tensor) and value.requires_grad for value in tensors_in(call.arguments)):
            raise TlxError(f"expected further arguments that depend on no pixels, got others at {call.name}")
    last = calls[-1]
    head = Call("", root.result, root.result_version)
    width = 0
    if to_head:
        width = _width(model, modules, head, root, last)
    with_arguments = {call.name for call in calls[start:] if call.arguments}
    return Chain(
        before=names[:start],
        modules=names[start:],
        from_image=calls[start].given is image and calls[start].version == 0,
        in_place={call.name for call in calls[start:] if call.in_place},
        head=[call.name for call in head.inner],
        shapes={call.name: tuple(call.result.shape) for call in calls[start:] if call.result is not None},
        num_features=width,
        arguments=with_arguments,
        uncalled=_uncalled(modules, [*names, *(call.name for call in head.inner)]) if with_arguments else [],
    )


def _width(model: nn.Module, modules: dict[str, nn.Module], head: Call, root: Call, last: Call) -> int:
    """Run the head, record its calls in `head`, and return the width of the pooled features."""
    if root.result is not last.result or root.result_version != last.result_version:
        raise TlxError(f"expected a chain of modules up to the head, got other computation after {last.name}")
    with _watch(modules, head):
        pooled = model.forward_head(root.result, pre_logits=True)  # type: ignore[operator]
    if pooled.ndim != 2:
        raise TlxError(f"expected pooled features (B, D), got {tuple(pooled.shape)}")
    width: int = pooled.shape[1]
    return width


def _uncalled(modules: dict[str, nn.Module], called: list[str]) -> list[str]:
    """Return the outermost modules that neither were called nor contain, or are part of, a called one."""
    found: list[str] = []
    for name in modules:
        related = any(_within(name, other) or _within(other, name) for other in called)
        if name and not related and not any(_within(name, other) for other in found):
            found.append(name)
    return found


def _within(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.")


def _expand(calls: list[Call], features: list[str], result: Tensor | None) -> Iterator[Call]:
    """Yield the calls; replace each call that contains feature modules by its inner calls."""
    for call in calls:
        if any(name.startswith(f"{call.name}.") for name in features):
            inner = list(_expand(call.inner, features, call.result))
            # A container that does more than run its modules in turn cannot be taken apart.
            if not inner or inner[-1].result is not call.result or not _same(inner[0], call):
                raise TlxError(f"expected {call.name} to run its modules in turn, got other computation inside")
            yield from inner
        else:
            yield call


def _same(inner: Call, outer: Call) -> bool:
    return inner.given is not None and inner.given is outer.given and inner.version == outer.version


@contextmanager
def _watch(modules: dict[str, nn.Module], root: Call) -> Iterator[None]:
    """Record the calls of modules as a tree below `root`."""
    open_calls = [root]

    def begin(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = [value for value in (*args[1:], *kwargs.values()) if value is not None and value is not False]
        given = args[0] if args and isinstance(args[0], Tensor) else None
        call = Call(name, given, changes(given) if given is not None else 0, arguments)
        open_calls[-1].inner.append(call)
        open_calls.append(call)

    def end(result: Any) -> None:
        call = open_calls.pop()
        call.in_place = call.given is not None and changes(call.given) > call.version
        if isinstance(result, Tensor):
            call.result, call.result_version = result, changes(result)

    handles = []
    try:
        for name, module in modules.items():
            if name:
                handles += [
                    module.register_forward_pre_hook(
                        lambda _, args, kwargs, name=name: begin(name, args, kwargs), with_kwargs=True
                    ),
                    module.register_forward_hook(lambda _, args, kwargs, result: end(result), with_kwargs=True),
                ]
        yield
    finally:
        for handle in handles:
            handle.remove()
