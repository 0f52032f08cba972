"""fastai's vision_learner as its documentation shows: frozen `fit_one_cycle`, or unfrozen.

    python fastai_peer.py --images DIR --weights FILE --mode frozen --epochs 5

Everything is fastai's default: its head, Adam at 1e-3 in one cycle, BatchNorm of the frozen body trained, one worker a
core. Images get its usual item transform, Resize; no batch transform, so that nothing is augmented.
"""

from __future__ import annotations

import given
from fastai.vision.all import ImageDataLoaders, Resize, accuracy, set_seed, vision_learner


def main():
    args = given.arguments("frozen", "full")
    set_seed(args.seed)
    data = ImageDataLoaders.from_folder(
        args.images, train="train", valid="val", item_tfms=Resize(given.SIDE), bs=given.BATCH, device="cpu"
    )
    learn = vision_learner(data, given.MODEL, metrics=accuracy, **given.pretrained(args.weights))
    if args.mode == "full":
        learn.unfreeze()
    learn.fit_one_cycle(sum(args.epochs))
    given.say(learn.recorder.values[-1][-1])


if __name__ == "__main__":
    main()
