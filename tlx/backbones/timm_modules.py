"""Modules that replace computation between the modules of timm's networks, see `tlx.backbones.timm_rewrites`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ToTokens(nn.Module):
    """A map (B, C, H, W), or (B, H, W, C), to its tokens (B, H·W, C)."""

    def __init__(self, channels_last: bool = False) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens (B, H·W, C)."""
        return x.flatten(1, 2) if self.channels_last else x.flatten(2).transpose(1, 2)


class ToGrid(nn.Module):
    """Tokens (B, H·W, C) to (B, H, W, C)."""

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Return the tokens at their positions (B, H, W, C)."""
        return x.reshape(x.shape[0], height, width, -1)


class Permuted(nn.Module):
    """A module that takes the dimensions in another order.

    Args:
        module: It is called with dimensions in the order `before`.
        before: Order of the input's dimensions.
        after: Order of the output's dimensions; (): unchanged.
    """

    def __init__(self, module: nn.Module, before: tuple[int, ...], after: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.module, self.before, self.after = module, before, after

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output for a tensor of any shape."""
        output: Tensor = self.module(x.permute(self.before))
        return output.permute(self.after) if self.after else output


class PrependToken(nn.Module):
    """Puts a learned token before the tokens (B, N, C)."""

    def __init__(self, token: nn.Parameter) -> None:
        super().__init__()
        self.token = token

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1 + N, C)."""
        return torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1)


class TokenAlone(nn.Module):
    """CaiT's class attention: a learned token reads the tokens (B, N, C), which do not change."""

    def __init__(self, token: nn.Parameter, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.token, self.blocks = token, blocks

    def forward(self, x: Tensor) -> Tensor:
        """Return the token that has read the others, and these: (B, 1 + N, C)."""
        token = self.token.expand(x.shape[0], -1, -1)
        for block in self.blocks:
            token = block(x, token)
        return torch.cat((token, x), dim=1)


class AddPosition(nn.Module):
    """Adds a learned position embedding to a tensor of the same shape."""

    def __init__(self, position: nn.Parameter) -> None:
        super().__init__()
        self.position = position

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, of any shape."""
        return x + self.position


class TokenStage(nn.Module):
    """A stage of Twins or CoaT-Lite: a map to tokens, blocks that take the size of the map, and back to a map.

    Args:
        embed: A map to tokens.
        blocks: Blocks that take tokens and the size of their map.
        token: A learned token before the others, if any.
        keeps_tokens: Whether the output are the tokens instead of a map.
        embed_gives_size: Whether `embed` returns the size, too; otherwise it has the attribute `grid_size`.
    """

    def __init__(
        self,
        embed: nn.Module,
        blocks: Sequence[nn.Module],
        token: nn.Parameter | None = None,
        keeps_tokens: bool = False,
        embed_gives_size: bool = True,
    ) -> None:
        super().__init__()
        self.embed, self.blocks, self.token = embed, nn.ModuleList(blocks), token
        self.keeps_tokens, self.embed_gives_size = keeps_tokens, embed_gives_size

    def forward(self, x: Tensor) -> Tensor:
        """Return a map (B, C, H', W') of a map; with `keeps_tokens`, tokens (B, N, C)."""
        embed: Any = self.embed
        tokens: Tensor
        size: Any
        tokens, size = embed(x) if self.embed_gives_size else (embed(x), embed.grid_size)
        if self.token is not None:
            tokens = torch.cat((self.token.expand(tokens.shape[0], -1, -1), tokens), dim=1)
        for block in self.blocks:
            tokens = block(tokens, size)
        if self.keeps_tokens:
            return tokens
        tokens = tokens if self.token is None else tokens[:, 1:]
        return tokens.reshape(x.shape[0], *size, -1).permute(0, 3, 1, 2).contiguous()


class OutputOnly(nn.Module):
    """A stage of MViTv2, which also returns the size of its map, without that size."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the tokens (B, N', C') for tokens (B, N, C) of a map of `size`."""
        output: Tensor = self.stage(x, size)[0]
        return output


class EmbedAndDrop(nn.Module):
    """Twins' patch embedding with the dropout after it."""

    def __init__(self, embed: nn.Module, drop: nn.Module) -> None:
        super().__init__()
        self.embed, self.drop = embed, drop

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, N, C) of a map (B, C, H, W), and the size of their map."""
        tokens, size = self.embed(x)
        return self.drop(tokens), size
