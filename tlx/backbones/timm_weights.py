"""Find timm's pretrained weights in local caches, or fail fast if their server is not reachable."""

from __future__ import annotations

import os
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch

from tlx.base.errors import TlxError

_TIMEOUT = 5.0  # seconds until the first answer of a server


def local_file(config: Any) -> str | None:
    """Return the file with pretrained weights in the cache of the Hugging Face hub or of torch; None if there is none.

    Args:
        config: timm's `PretrainedCfg` of the model.
    """
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        for file in _hub_files(config):
            found = try_to_load_from_cache(_hub_repository(config), file)
            if isinstance(found, str):
                return found
    if config.url:
        path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(config.url).path))
        return path if os.path.isfile(path) else None
    return None


def check_reachable(name: str, config: Any) -> None:
    """Check that the server of pretrained weights answers.

    Args:
        name: The model, for the message.
        config: timm's `PretrainedCfg` of the model.

    Raises:
        TlxError: It does not answer within seconds, or HF_HUB_OFFLINE is set.
    """
    host = os.environ.get("HF_ENDPOINT", "https://huggingface.co") if config.hf_hub_id else config.url
    reason = "HF_HUB_OFFLINE is set" if _offline_requested() and config.hf_hub_id else _unreachable(host)
    if reason is None:
        return
    if config.hf_hub_id:
        repository = _hub_repository(config)
        file = f"{_hub_files(config)[0]} of {repository}"
        where = (
            f"On a machine with a network: hf download {repository}; then copy its ~/.cache/huggingface here, or copy "
            f"the file and use backbone=file backbone.path=FILE backbone.architecture=timm/{name}."
        )
    else:
        file = config.url
        where = f"Put it into {os.path.join(torch.hub.get_dir(), 'checkpoints')}."
    raise TlxError(
        f"backbone: expected the weights of timm's {name} in a local cache, or a network to download them, got neither "
        f"({reason})\nMissing: {file}\n{where}\nOr train from random weights: backbone.pretrained=false"
    )


def _hub_repository(config: Any) -> str:
    return str(config.hf_hub_id).split("@")[0]


def _hub_files(config: Any) -> list[str]:
    if config.hf_hub_filename:
        return [config.hf_hub_filename]
    return ["model.safetensors", "pytorch_model.bin"]


def _offline_requested() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _unreachable(url: str) -> str | None:
    """Return why a server does not answer; None if it answers, even with an error status."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=_TIMEOUT).close()
    except HTTPError:
        return None
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None
