"""Trains a run directory's configuration with a prefix that takes its time, so that others can come in between."""

from __future__ import annotations

import sys
import time

import torch

import tlx
from tlx.backbones.backbone import Backbone
from tlx.features import extraction, prefix_cache


def main() -> None:
    torch.set_num_threads(1)
    extraction.COMMIT_EVERY = 0.3
    original = Backbone.run

    def slowly(backbone, x, start=None, outputs=None, pooled=None):
        if outputs is not None:  # not a step of training
            time.sleep(0.1)
        return original(backbone, x, start, outputs, pooled)

    Backbone.run = slowly
    assert prefix_cache.compute is extraction.compute
    tlx.train(tlx.compose(sys.argv[1:]))


if __name__ == "__main__":
    main()
