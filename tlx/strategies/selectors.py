"""Selectors name layer groups: `head`, `stage3`, `stage3+`, `last:2`, `backbone`, `all`, globs, and lists of these."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tlx.base.errors import TlxError, did_you_mean

HEAD = "head"


class SelectorError(TlxError):
    """A selector that matches no layer group."""

    def __init__(self, selector: str, expected: str, hint: str) -> None:
        self.selector, self.expected, self.hint = selector, expected, hint
        super().__init__(f"selector '{selector}': expected {expected}" + (f"; {hint}" if hint else ""))


def select(names: Sequence[str], selector: str | Sequence[str], upper: Sequence[str] = (HEAD,)) -> tuple[str, ...]:
    """Return the layer groups that a selector names, bottom to top.

    Args:
        names: All layer groups, bottom to top, the head last.
        selector: One of
            a name (`stage3`); a name and all above it (`stage3+`); `head`, all groups above the backbone; `last:N`,
            these and the N-1 topmost groups of the backbone; `backbone`; `all`; a glob (`stage*`); or a sequence of
            these, which selects their union.
        upper: The groups above the backbone, such as a decoder and the head.

    Raises:
        SelectorError: It matches nothing; the message lists the names and the most similar one.

    Examples:
        >>> from tlx.strategies.selectors import select
        >>> names = ["stem", "stage1", "stage2", "head"]
        >>> select(names, "stage2+")
        ('stage2', 'head')
        >>> select(names, ["stem", "last:1"])
        ('stem', 'head')
        >>> select(names, "stage*")
        ('stage1', 'stage2')
        >>> select([*names[:3], "decoder", "head"], "last:2", upper=("decoder", "head"))
        ('stage2', 'decoder', 'head')
    """
    if isinstance(selector, str):
        return _select_one(tuple(names), selector.strip(), tuple(upper))
    chosen = {name for part in selector for name in select(names, part, upper)}
    return tuple(name for name in names if name in chosen)


def _select_one(names: tuple[str, ...], selector: str, upper: tuple[str, ...]) -> tuple[str, ...]:
    listing = "one of the layer groups " + ", ".join(names)
    if selector == "all":
        return names
    if selector == "backbone":
        return tuple(n for n in names if n not in upper)
    if selector == HEAD:
        return tuple(n for n in names if n in upper)
    if selector in names:
        return (selector,)
    if selector.startswith("last:"):
        count = selector.removeprefix("last:")
        most = len(names) - len(upper) + 1
        if not count.isdecimal() or not 1 <= int(count) <= most:
            raise SelectorError(
                selector,
                f"last:N with N from 1 to {most}",
                "last:1 is the head alone" if len(upper) == 1 else f"last:1 is {' and '.join(upper)}",
            )
        return names[most - int(count) :]
    if selector.endswith("+") and selector[:-1] in names:
        return names[names.index(selector[:-1]) :]
    matched = tuple(n for n in names if fnmatchcase(n, selector))
    if not matched:
        words = [*names, "all", "backbone", "last:1"]
        raise SelectorError(selector, listing, did_you_mean(selector.removesuffix("+"), words))
    return matched
