"""Where timm's pretrained weights are, asked before timm waits for a network that is not there."""

from __future__ import annotations

import os
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch

from tlx.base.errors import TlxError

_PATIENCE = 5.0  # seconds for the first answer of a server


def local_file(config: Any) -> str | None:
    """Return the file in the caches of the Hugging Face hub or of torch that holds pretrained weights, or None.

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
    """Ask the server of pretrained weights for a first answer.

    Args:
        name: The model, for the message.
        config: timm's `PretrainedCfg` of the model.

    Raises:
        TlxError: There is none within seconds.
    """
    host = os.environ.get("HF_ENDPOINT", "https://huggingface.co") if config.hf_hub_id else config.url
    reason = "HF_HUB_OFFLINE is set" if _asked_to_be_offline() and config.hf_hub_id else _unreachable(host)
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


def _asked_to_be_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _unreachable(url: str) -> str | None:
    """Return why a server gives no answer, or None if it does; an answer that refuses is one."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=_PATIENCE).close()
    except HTTPError:
        return None
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None
