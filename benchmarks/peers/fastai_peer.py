"""fastai's vision_learner as in its documentation: `fit_one_cycle` with a frozen or an unfrozen body.

    python fastai_peer.py --images DIR --weights FILE --mode frozen --epochs 5

Everything is fastai's default: its head, Adam at 1e-3 in one cycle, trained BatchNorm in the frozen body, one worker
per core. Images get its usual item transform, Resize, but no batch transform, so there is no augmentation.
"""

from __future__ import annotations

import workload
from fastai.vision.all import ImageDataLoaders, Resize, accuracy, set_seed, vision_learner


def main():
    args = workload.arguments("frozen", "full")
    set_seed(args.seed)
    data = ImageDataLoaders.from_folder(
        args.images, train="train", valid="val", item_tfms=Resize(workload.SIDE), bs=workload.BATCH, device="cpu"
    )
    learn = vision_learner(data, workload.MODEL, metrics=accuracy, **workload.pretrained(args.weights))
    if args.mode == "full":
        learn.unfreeze()
    learn.fit_one_cycle(sum(args.epochs))
    workload.report(learn.recorder.values[-1][-1])


if __name__ == "__main__":
    main()
