"""A backbone: a network as an ordered list of layer groups, run from any group to any group."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tlx.backbones.block_arguments import Carried, Section, plain
from tlx.backbones.layout import SIZES, Layout, evaluating, measure
from tlx.backbones.preprocessing import Preprocessing
from tlx.backbones.recomputation import recomputed
from tlx.backbones.report import LoadReport, UpperSource
from tlx.backbones.tiles import Tiles
from tlx.base.errors import TlxError, did_you_mean


class Backbone(nn.Module):
    """Layer groups from bottom to top, then a pool: images (B, C, H, W) to features (B, num_features).

    Args:
        groups: Layer groups in running order. The first takes the normalised image, each other one the output of the
            group below it.
        pool: Maps the last group's output to (B, num_features). Its parameters belong to the last group.
        architecture: Plain dict from which `tlx.backbones.build` builds the same backbone without weights or download.
        preprocessing: The preprocessing that the network expects of its images.
        num_features: Width of the features.
        layouts: Dimensions of the groups' outputs that are not (B, C, H, W).
        strides: Known strides in pixels; the others are measured on the meta device.
        fixed_size: Whether only images of `preprocessing.size` pixels are accepted.
        original_names: Name in `state_dict()` -> name in the model that the groups were cut from.

    Attributes:
        left_out: Layer groups that were left out because the task reads maps and they give none.
        usual_size: Height and width in pixels of the images that outputs of groups come from; None: those of
            `preprocessing`.
        tiles: If set, images are cut into tiles that pass through the network separately.
        recomputed: Layer groups whose activations are computed again in the backward pass, see
            `tlx.backbones.recomputation`.
        report: Which weights were loaded; None for random weights.
        upper_source: The layers above the backbone of the run that the weights come from, if any.

    Examples:
        >>> import torch
        >>> from tlx.backbones import torchvision_backbone
        >>> backbone = torchvision_backbone("resnet18", weights=None).eval()
        >>> backbone.group_names
        ['stem', 'stage1', 'stage2', 'stage3', 'stage4']
        >>> image = torch.zeros(2, 3, 64, 64)
        >>> features = backbone(image)
        >>> middle = backbone(image, stop="stage2")
        >>> features.shape, middle.shape
        (torch.Size([2, 512]), torch.Size([2, 128, 8, 8]))
        >>> torch.equal(backbone(middle, start="stage3"), features)
        True
    """

    def __init__(
        self,
        groups: Mapping[str, nn.Module],
        pool: nn.Module,
        *,
        architecture: dict[str, Any],
        preprocessing: Preprocessing,
        num_features: int,
        layouts: Mapping[str, Layout] | None = None,
        strides: Mapping[str, int] | None = None,
        fixed_size: bool = False,
        original_names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)
        self.pool = pool
        self.architecture = architecture
        self.preprocessing = preprocessing
        self.num_features = num_features
        self.layouts = {name: (layouts or {}).get(name, Layout("map")) for name in self.groups}
        self.fixed_size = fixed_size
        self._size = preprocessing.height_width  # `preprocessing` may be replaced later, for larger images
        self.original_names = dict(original_names or {})
        self.usual_size: tuple[int, int] | None = None
        self.tiles: Tiles | None = None
        self.left_out: tuple[str, ...] = ()
        self.recomputed: tuple[str, ...] = ()
        self.report: LoadReport | None = None
        self.upper_source: UpperSource | None = None
        self._known_strides = dict(strides or {})
        self._measures: dict[str, tuple[int, int]] | None = None

    @property
    def group_names(self) -> list[str]:
        """Names of the layer groups, bottom to top."""
        return list(self.groups)

    @property
    def in_channels(self) -> int:
        """Number of channels of the images."""
        return len(self.preprocessing.mean)

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the image per pixel of the group's output; 0 for groups whose output is not a map."""
        return {name: self._known_strides.get(name, stride) for name, (stride, _) in self._measured().items()}

    @property
    def channels(self) -> dict[str, int]:
        """Channels of each group's output."""
        return {name: channels for name, (_, channels) in self._measured().items()}

    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Tensor:
        """Run the layer groups from `start` to `stop`, both included, and return one output.

        Args:
            x: The normalised image (B, C, H, W); with `start`, the output of the group below it.
            start: First group to run; None: from the image.
            stop: Last group to run; None: through the last group and the pool.

        Returns:
            Features (B, num_features); with `stop`, the unpooled output of that group. With `tiles`, outputs of groups
            have one more dimension, (B, T, …).

        Raises:
            TlxError: A group is unknown, `start` is above `stop`, or a fixed-size network gets another size.
        """
        if stop is None:
            return self.run(x, start)[self.group_names[-1]]
        return self._run(x, start, [self._index(stop)])[0]

    def run(
        self,
        x: Tensor,
        start: str | None = None,
        outputs: str | Sequence[str] | None = None,
        pooled: bool | None = None,
        size: tuple[int, int] | None = None,
    ) -> dict[str, Tensor]:
        """Run the layer groups from `start` up and return the outputs of one or several of them from one forward pass.

        Args:
            x: The normalised image (B, C, H, W); with `start`, the output of the group below it, as `pooled=None`
                returns it.
            start: First group to run; None: from the image.
            outputs: Groups whose outputs are returned; None: the last one.
            pooled: The form of the outputs. None: the input of the next group; for the last group, the features.
                True: features (B, num_features) for the last group, the mean over all positions (B, channels) for
                others. False: maps (B, channels, H', W').
            size: With `start`: height and width in pixels of the images, or of their tiles. None: `usual_size` if `x`
                fits it, otherwise a square.

        Returns:
            The output of each group, in the order of `outputs`. With `tiles`, the input of a next group has one more
            dimension, (B, T, …); pooled outputs do not, because the pool includes the tiles.

        Raises:
            TlxError: A group is unknown or below `start`; a fixed-size network gets another size; a map of a vector or
                of an image cut into tiles is requested.
        """
        last = self.group_names[-1]
        names = [last] if outputs is None else [outputs] if isinstance(outputs, str) else list(dict.fromkeys(outputs))
        if pooled is False:
            self._check_maps(names)
        # The part above the last group is the pool.
        parts = [self._index(name) + (name == last and pooled is not False) for name in names]
        found = dict(zip(names, self._run(x, start, parts, size), strict=True))
        # Size of the image; None if it is unknown (`x` is the output of a group), and for tiles, which are square.
        if size is None and self.fixed_size and self.tiles is None:
            size = self._size
        if self.tiles is None and start in (None, self.group_names[0]):
            size = x.shape[-2], x.shape[-1]
        return {name: self._in_form(name, output, pooled, size) for name, output in found.items()}

    def maps(self, x: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Return the outputs of several groups as feature maps: `run` with `pooled=False`.

        Args:
            x: The normalised image (B, C, H, W).
            names: Layer groups, in any order.

        Returns:
            One map (B, channels[name], H', W') per name, in the order of `names`.

        Raises:
            TlxError: A group is unknown, or its output is not a map.
        """
        found = self.run(x, outputs=names, pooled=False)
        return [found[name] for name in names]

    def above(self, name: str) -> str | None:
        """Return the layer group above another one; None for the last one, which is followed by the pool.

        Raises:
            TlxError: The group is unknown.
        """
        return next(iter(self.group_names[self._index(name) + 1 :]), None)

    def group_modules(self, name: str) -> list[nn.Module]:
        """Return the modules of a layer group; those of the last group include the pool.

        Raises:
            TlxError: The group is unknown.
        """
        last = self._index(name) == len(self.groups) - 1
        return [self.groups[name], self.pool] if last else [self.groups[name]]

    def group_parameters(self, name: str) -> Iterator[nn.Parameter]:
        """Yield the parameters of a layer group; those of the last group include the pool's.

        Raises:
            TlxError: The group is unknown.
        """
        for module in self.group_modules(name):
            yield from module.parameters()

    def group_of(self, key: str) -> str:
        """Return the layer group that a name of `state_dict()` or `named_parameters()` belongs to."""
        return key.split(".")[1] if key.startswith("groups.") else self.group_names[-1]

    def forget_measures(self) -> None:
        """Measure strides and channels again when they are next asked for: the groups were changed."""
        self._measures = None

    def _index(self, name: str) -> int:
        names = self.group_names
        if name not in names:
            hint = did_you_mean(name, names)
            raise TlxError(f"backbone: expected a layer group ({', '.join(names)}), got '{name}'; {hint}")
        return names.index(name)

    def _run(
        self, x: Tensor, start: str | None, ends: Sequence[int], size: tuple[int, int] | None = None
    ) -> list[Tensor]:
        """Run the parts of the network (its groups, then the pool) from `start` up; `size` as for `run`.

        Returns:
            The outputs of the parts with the indices `ends`; with `tiles`, (B, T, …).
        """
        first = 0 if start is None else self._index(start)
        if ends and min(ends) < first:
            names = self.group_names
            raise TlxError(
                f"backbone: expected start at or below stop, got start='{names[first]}' above stop='{names[min(ends)]}'"
            )
        if first == 0:
            self._check_image(x)
        parts = [*self.groups.values(), self.pool][first : max(ends, default=-1) + 1]
        again = [place for place, name in enumerate(self.group_names[first:]) if name in self.recomputed]
        network = functools.partial(_run_in_turn, parts, [end - first for end in ends], again)
        if first > 0 and isinstance(parts[0], Section):
            network = functools.partial(self._enter, network, self.group_names[first - 1], size)
        if self.tiles is None:
            return network(x)
        return self.tiles.run(network, self.tiles.cut(x) if first == 0 else x)

    def _enter(
        self,
        network: Callable[[Tensor | Carried], list[Tensor]],
        below: str,
        size: tuple[int, int] | None,
        x: Tensor,
    ) -> list[Tensor]:
        """Run the upper part of a network with block arguments on `x`, the output of the group `below`."""
        own = (self.usual_size or self._size) if self.tiles is None else (self.tiles.size, self.tiles.size)
        height, width = size or self.layouts[below].size_of_image(x, own, self.strides[below])
        blank = x.new_zeros(1, self.in_channels, height, width)
        first = self.groups[self.group_names[0]]
        with evaluating(first):
            arguments = first(blank).arguments
        return network(Carried(x, arguments))

    def _in_form(self, name: str, output: Tensor, pooled: bool | None, size: tuple[int, int] | None) -> Tensor:
        """Return a group's output from `_run` in the form that `pooled` selects; see `run`."""
        if name == self.group_names[-1] and pooled is not False:
            return output if self.tiles is None else self.tiles.pooled(output)
        if pooled is None:
            return output
        layout = self.layouts[name]
        if not pooled:
            return layout.to_map(output, size)
        if self.tiles is None:
            return layout.mean(output, size)
        return self.tiles.pooled(layout.mean(output.flatten(0, 1), size).unflatten(0, output.shape[:2]))

    def _check_maps(self, names: Sequence[str]) -> None:
        if self.tiles is not None:
            # Tiles overlap, and each has its own padding: joined maps of tiles differ from the map of the image.
            raise TlxError(
                f"backbone: expected whole images for maps, got images that are cut into tiles of {self.tiles.size} "
                f"pixels; set task.tile_size=null, or call with pooled=True"
            )
        for name in names:
            self._index(name)
            if self.layouts[name].kind == "vector":
                maps = [n for n in self.groups if self.layouts[n].kind != "vector"]
                raise TlxError(f"backbone: expected groups that output maps ({', '.join(maps)}), got '{name}'")

    def _check_image(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise TlxError(
                f"backbone: expected images of shape (B, {self.in_channels}, H, W), got {tuple(x.shape)}; "
                f"set backbone.in_channels or dataset.channels"
            )
        own, (height, width) = self._size, x.shape[-2:] if self.tiles is None else (self.tiles.size, self.tiles.size)
        if self.fixed_size and (height, width) != own:
            key = "dataset.image_size" if self.tiles is None else "task.tile_size"
            raise TlxError(
                f"backbone: expected images of {own[0]} x {own[1]} pixels (this network accepts no other size), "
                f"got {height} x {width}; set {key}={own[0]}"
            )

    def _measured(self) -> dict[str, tuple[int, int]]:
        if self._measures is None:
            sizes = (self.preprocessing.short_side,) if self.fixed_size else SIZES
            self._measures = measure(self.groups, self.layouts, self.in_channels, sizes)
        return self._measures


def _run_in_turn(
    parts: Sequence[nn.Module], ends: Sequence[int], again: Collection[int], x: Tensor | Carried
) -> list[Tensor]:
    """Run parts in turn; return the outputs of those with the indices `ends`, in the order of `ends`.

    Parts with the indices `again` are computed again in the backward pass.
    """
    found: dict[int, Tensor] = {}
    for index, part in enumerate(parts):
        x = x if isinstance(part, Section) else plain(x)
        x = recomputed(part, x) if index in again else part(x)
        if index in ends:
            found[index] = plain(x)
    return [found[end] for end in ends]
