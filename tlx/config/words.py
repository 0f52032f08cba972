"""Tables of other tools' words for what tlx names differently or lacks. tlx/config/leads.py reads them.

A row is `words: (what to type, a note)`. VALUE stands for the user's value; the user fills in other words in capitals.
The note is '' if what to type needs none.
"""

from __future__ import annotations

from typing import NamedTuple


class Lead(NamedTuple):
    """What to suggest for a word.

    Args:
        typed: Overrides of tlx, or '' if none is similar.
        note: A remark shown with them.
    """

    typed: str
    note: str = ""


_FOLDER = "dataset=folder dataset.root=DIR"
_TABLE = "dataset=table dataset.path=TABLE"
_LACKS_LAYERS = "tlx has no adapter layers; nearest, with few trained weights"
_LACKS_LOGGER = "tlx logs to TensorBoard, CSV, Weights & Biases and MLflow; nearest"
_TASKS = "tlx classifies images, one label each, segments them, and detects objects in them"
_WITH_ANY = "a detector is a choice of the task; with any backbone"
_COUNTS = "tlx counts the epochs of each stage; nearest"

KEYS = {
    "epochs epoch max_epochs num_epochs n_epochs nepochs": Lead("trainer.stage_epochs=VALUE", "at most, in each stage"),
    "max_steps steps num_steps iterations iters": Lead("trainer.stage_epochs=N", _COUNTS),
    "lr learning_rate learningrate base_lr init_lr": Lead("optimizer.lr=VALUE"),
    "wd weight_decay weightdecay decay l2": Lead("optimizer.weight_decay=VALUE"),
    "momentum": Lead("optimizer=sgd optimizer.momentum=VALUE"),
    "layer_decay llrd layerwise_lr_decay lr_decay discriminative_lr": Lead("optimizer.layer_decay=0.7"),
    "optim opt optimiser": Lead("optimizer=VALUE"),
    "bs batch batch_size batchsize train_batch_size per_device_train_batch_size": Lead("dataset.batch_size=VALUE"),
    "micro_batch microbatch micro_batch_size micro_bs": Lead("dataset.micro_batch=VALUE"),
    "img_size image_size imgsz imsize img_sz size resolution input_size resize crop_size": Lead(
        "dataset.image_size=VALUE"
    ),
    "workers num_workers n_workers nworkers dataloader_num_workers": Lead("dataset.num_workers=VALUE"),
    "channels in_channels in_chans": Lead("dataset.channels=VALUE"),
    "grayscale greyscale gray grey": Lead("dataset.channels=1"),
    "gpus n_gpu n_gpus num_gpus ngpus gpu devices num_devices": Lead("trainer.devices=VALUE"),
    "device accelerator cuda": Lead("trainer.accelerator=VALUE"),
    "nodes num_nodes nnodes": Lead("trainer.num_nodes=VALUE"),
    "ddp distributed dp data_parallel": Lead("trainer.strategy=ddp"),
    "fsdp": Lead("trainer.strategy=fsdp"),
    "deepspeed zero": Lead("trainer.strategy=fsdp", "tlx has no DeepSpeed; nearest"),
    "fp16 half amp use_amp mixed_precision": Lead("trainer.precision=16-mixed"),
    "bf16 bfloat16": Lead("trainer.precision=bf16-mixed"),
    "precision dtype": Lead("trainer.precision=VALUE"),
    "compile torch_compile": Lead("trainer.compile=VALUE"),
    "deterministic": Lead("trainer.deterministic=true"),
    "grad_clip clip_grad gradient_clip max_grad_norm clip_grad_norm": Lead("trainer.gradient_clip_val=VALUE"),
    "grad_checkpointing gradient_checkpointing activation_checkpointing checkpointing": Lead(
        "trainer.checkpoint_groups=all"
    ),
    "grad_accum accumulate accumulation_steps accum_iter gradient_accumulation_steps": Lead(
        "trainer.accumulate_grad_batches=VALUE"
    ),
    "patience early_stopping early_stop early_stopping_patience": Lead("trainer.patience=VALUE"),
    "ema model_ema model_ema_decay": Lead("trainer.average_weights=ema"),
    "swa stochastic_weight_averaging average": Lead("trainer.average_weights=0.1"),
    "val_every eval_every eval_interval check_val_every_n_epoch val_interval": Lead("trainer.validate_every=VALUE"),
    "max_time time_limit minutes": Lead("trainer.max_minutes=VALUE"),
    "debug fast_dev_run dry_run smoke_test": Lead("trainer=debug"),
    "limit_train_batches limit_val_batches max_batches": Lead("trainer.limit_batches=VALUE"),
    "log_every log_interval print_freq logging_steps": Lead("trainer.log_every_n_steps=VALUE"),
    "save_every save_interval save_freq checkpoint_every checkpoint_interval every_n_epochs save_steps": Lead(
        "trainer.checkpoint_seconds=N", "least seconds between two; 0: after each epoch"
    ),
    "progress verbose": Lead("trainer.progress_bar=true"),
    "model arch architecture network net backbone_name model_name encoder": Lead("backbone=VALUE"),
    "pretrained imagenet": Lead("strategy=scratch", "networks have pretrained weights; for random weights"),
    "weights checkpoint ckpt ckpt_path checkpoint_path load_from init_from pretrained_weights state_dict": Lead(
        "backbone=file backbone.path=VALUE backbone.architecture=NETWORK"
    ),
    "freeze frozen freeze_backbone freeze_encoder feature_extract feature_extraction": Lead("strategy=linear_probe"),
    "unfreeze gradual_unfreezing": Lead("strategy=gradual"),
    "finetune fine_tune finetuning": Lead("strategy=full"),
    "data data_dir data_path datadir data_root path root dataset_path dataset_dir train_dir image_dir img_dir images"
    " folder input": Lead("dataset=folder dataset.root=VALUE"),
    "val_dir valid_dir test_dir": Lead(_FOLDER, "the splits are folders train, val and test inside one"),
    "csv csv_file csv_path annotations annotation_file labels_file": Lead("dataset=table dataset.path=VALUE"),
    "classes": Lead("dataset.classes=VALUE"),
    "group_similar dedup deduplicate near_duplicates": Lead(
        "dataset.similar=together", "carved splits keep pictures that are nearly the same on one side"
    ),
    "val_split valid_split validation_split val_size valid_size val_ratio valid_pct val_pct": Lead(
        "dataset.val_fraction=VALUE"
    ),
    "test_split test_size test_ratio": Lead(f"{_FOLDER} dataset.test_fraction=VALUE"),
    "shots n_shot k_shot num_shots few_shot samples_per_class": Lead("dataset.labels_per_class=VALUE"),
    "subset train_fraction": Lead("dataset.fraction=VALUE"),
    "weighted_sampler oversample oversampling balanced balance sampler": Lead("dataset.sampling=balanced"),
    "kfold k_fold folds cv cross_validation n_splits": Lead(
        "validation=kfold", "the number of folds is validation.folds=5"
    ),
    "augmentation augmentations aug augment data_augmentation transforms transform": Lead("dataset.augment=VALUE"),
    "auto_augment autoaugment randaugment rand_augment randaug trivial_augment": Lead("dataset.augment=trivial"),
    "mixup cutmix cutout random_erasing color_jitter colour_jitter jitter": Lead(
        "dataset.augment=strong", "tlx augments by presets; nearest"
    ),
    "flip hflip horizontal_flip fliplr": Lead("dataset.horizontal_flip=VALUE"),
    "dropout drop_rate dropout_rate drop": Lead("task.dropout=VALUE"),
    "label_smoothing smoothing": Lead("task.label_smoothing=VALUE"),
    "loss criterion loss_fn focal_loss focal": Lead(
        "task.class_weights=balanced",
        "a classifier has one loss, cross-entropy; a segmenter has task.loss=ce+dice; for imbalanced classes",
    ),
    "class_weights class_weight weighted_loss": Lead("task.class_weights=balanced"),
    "metric metrics monitor": Lead(
        "task.monitor=val/accuracy task.mode=max", "every run has all metrics; this one selects the weights"
    ),
    "scheduler lr_scheduler sched lr_schedule schedule": Lead(
        "strategy.stages.0.schedule=VALUE", "for each stage: constant, linear or cosine"
    ),
    "warmup warmup_epochs warmup_steps warmup_ratio": Lead("strategy.stages.0.warmup=0.1", "as a fraction of a stage"),
    "output out out_dir outdir output_path save_dir log_dir logdir results result_dir workdir work_dir exp_dir": Lead(
        "output_dir=VALUE"
    ),
    "name exp_name experiment_name project": Lead("run_name=VALUE"),
    "random_seed random_state manual_seed": Lead("seed=VALUE"),
    "resume_from resume_from_checkpoint resume_path auto_resume": Lead("resume=RUN", "with a run directory"),
    "wandb use_wandb": Lead("logger=wandb"),
    "mlflow": Lead("logger=mlflow"),
    "comet neptune clearml": Lead("logger=tensorboard", _LACKS_LOGGER),
    "tensorboard": Lead("logger=tensorboard"),
    "no_cache use_cache": Lead("cache=off", "the outputs of frozen layers are cached; to switch it off"),
    "svm knn logreg": Lead("strategy=features classifier=svm"),
    "lora adapter adapters peft": Lead("strategy=last_layers", _LACKS_LAYERS),
    "tta test_time_augmentation distill distillation teacher": Lead("", "tlx has none"),
}

OPTIONS: dict[str, dict[str, Lead]] = {
    "strategy": {
        "finetune fine_tune finetuning fine_tuning full_finetune ft unfreeze unfrozen": Lead("strategy=full"),
        "frozen freeze probe linear head head_only lp last_layer feature_extract feature_extraction transfer": Lead(
            "strategy=linear_probe"
        ),
        "unfreezing gradual_unfreezing ulmfit": Lead("strategy=gradual"),
        "discriminative llrd layer_decay layerwise": Lead("strategy=full optimizer.layer_decay=0.7"),
        "lora qlora dora adapter adapters peft prefix prompt prompt_tuning vpt ia3 bitfit": Lead(
            "strategy=last_layers", _LACKS_LAYERS
        ),
        "random from_scratch random_init": Lead("strategy=scratch"),
        "l2sp l2_sp": Lead("strategy=full optimizer.keep_source=0.01"),
        "mmd": Lead("strategy=dan target=usps"),
        "deep_coral": Lead("strategy=coral target=usps"),
        "adversarial domain_adaptation uda da": Lead("strategy=dann target=usps"),
        "pseudo_label pseudo_labels pseudolabel": Lead("strategy=self_training target=usps"),
        "svm knn logreg classical": Lead("strategy=features classifier=svm"),
        "ddp fsdp": Lead("trainer.strategy=VALUE", "distributed training is set in the trainer"),
        "distill distillation meta maml prototypical": Lead("", "tlx has no such strategy; all: tlx list strategies"),
    },
    "backbone": {
        "resnet": Lead("backbone=resnet50"),
        "resnext": Lead("backbone=resnext50_32x4d"),
        "wide_resnet wideresnet wrn": Lead("backbone=wide_resnet50_2"),
        "vgg": Lead("backbone=vgg16"),
        "densenet": Lead("backbone=densenet121"),
        "mobilenet mobilenetv3": Lead("backbone=mobilenet_v3_large"),
        "mobilenetv2": Lead("backbone=mobilenet_v2"),
        "efficientnet effnet": Lead("backbone=efficientnet_b0"),
        "efficientnetv2 efficientnet_v2": Lead("backbone=efficientnet_v2_s"),
        "efficientnet_lite lite": Lead("backbone=efficientnet_lite0"),
        "shufflenet": Lead("backbone=shufflenet_v2_x1_0"),
        "squeezenet": Lead("backbone=squeezenet1_1"),
        "mnasnet": Lead("backbone=mnasnet1_0"),
        "regnet": Lead("backbone=regnet_y_400mf"),
        "vit vit_base vit_b transformer": Lead("backbone=vit_b_16"),
        "vit_large vit_l": Lead("backbone=vit_l_16"),
        "vit_small vit_s": Lead("backbone=vit_small_patch16_224"),
        "vit_tiny vit_ti": Lead("backbone=vit_tiny_patch16_224"),
        "deit": Lead("backbone=deit_small_patch16_224"),
        "swin": Lead("backbone=swin_t"),
        "convnext": Lead("backbone=convnext_tiny"),
        "convnextv2 convnext_v2": Lead("backbone=convnextv2_tiny"),
        "dino": Lead("backbone=vit_small_patch16_224.dino"),
        "dinov2 dino_v2": Lead("backbone=dinov2_vits14"),
        "dinov3 dino_v3": Lead("backbone=dinov3_vits16"),
        "clip": Lead("backbone=vit_base_patch16_clip_224.openai"),
        "siglip": Lead("backbone=siglip2_vitb16"),
        "mae": Lead("backbone=vit_base_patch16_224.mae"),
        "beit": Lead("backbone=beit_base_patch16_224"),
        "inception": Lead("backbone=inception_v3"),
        "xception": Lead("backbone=xception41"),
        "mobilevit": Lead("backbone=mobilevit_s"),
        "senet seresnet": Lead("backbone=seresnet50"),
        "cnn lenet simple_cnn convnet": Lead("backbone=small_cnn"),
        "fcos": Lead("task=detection task.model=fcos", _WITH_ANY),
        "retinanet": Lead("task=detection task.model=retinanet", _WITH_ANY),
        "fasterrcnn faster_rcnn": Lead("task=detection task.model=fasterrcnn", _WITH_ANY),
        "yolo yolov5 yolov8 yolov11 ssd detr": Lead("task=detection", "tlx builds detectors from classifiers"),
        "maskrcnn mask_rcnn": Lead("task=detection", "tlx finds boxes, not outlines of single objects; nearest"),
        "unet": Lead("task=segmentation task.decoder=unet", "a decoder is a choice of the task; with any backbone"),
        "fpn": Lead("task=segmentation task.decoder=fpn", "a decoder is a choice of the task; with any backbone"),
        "deeplab deeplabv3 deeplabv3plus": Lead(
            "task=segmentation task.decoder=deeplabv3plus", "a decoder is a choice of the task; with any backbone"
        ),
        "segformer sam mask2former": Lead("task=segmentation", "tlx builds segmenters from classifiers"),
        "checkpoint ckpt weights local custom": Lead(
            "backbone=file backbone.path=WEIGHTS backbone.architecture=NETWORK"
        ),
    },
    "dataset": {
        "imagefolder image_folder images custom directory dir own local huggingface hf": Lead(_FOLDER),
        "csv tsv excel parquet dataframe pandas": Lead(_TABLE),
        "npz npy numpy array": Lead("dataset=arrays dataset.path=ARRAYS"),
        "cifar": Lead("dataset=cifar10"),
        "flowers": Lead("dataset=flowers102"),
        "pets pet": Lead("dataset=oxford_iiit_pet"),
        "food": Lead("dataset=food101"),
        "aircraft": Lead("dataset=fgvc_aircraft"),
        "fashion": Lead("dataset=fashion_mnist"),
        "emnist": Lead("dataset=emnist_letters"),
        "pascal_voc cityscapes ade20k cvat labelme roboflow segmentation": Lead(
            "task=segmentation dataset=masks dataset.root=FOLDER"
        ),
    },
    "optimizer": {
        "adam": Lead("optimizer._target_=torch.optim.Adam"),
        "nadam": Lead("optimizer._target_=torch.optim.NAdam"),
        "radam": Lead("optimizer._target_=torch.optim.RAdam"),
        "adamax": Lead("optimizer._target_=torch.optim.Adamax"),
        "lion": Lead("optimizer._target_=timm.optim.Lion"),
        "lamb": Lead("optimizer._target_=timm.optim.Lamb"),
        "adan": Lead("optimizer._target_=timm.optim.Adan optimizer.betas=[0.98,0.92,0.99]"),
        "lars": Lead("optimizer=sgd optimizer._target_=timm.optim.Lars"),
        "rmsprop": Lead("optimizer=sgd optimizer._target_=torch.optim.RMSprop ~optimizer.nesterov"),
        "adagrad": Lead("optimizer=sgd optimizer._target_=torch.optim.Adagrad ~optimizer.momentum ~optimizer.nesterov"),
        "momentum nesterov": Lead("optimizer=sgd"),
        "lbfgs sam muon adafactor shampoo sophia": Lead("optimizer=adamw", "tlx has no such option; nearest"),
    },
    "logger": {
        "weights_and_biases": Lead("logger=wandb"),
        "comet neptune clearml aim": Lead("logger=tensorboard", _LACKS_LOGGER),
        "tb": Lead("logger=tensorboard"),
        "json file": Lead("logger=none", "metrics.csv and metrics.json are always written; without TensorBoard"),
        "false no off": Lead("logger=none"),
    },
    "trainer": {
        "cpu": Lead("trainer.accelerator=cpu"),
        "cuda": Lead("trainer=gpu"),
        "ddp fsdp": Lead("trainer.strategy=VALUE"),
        "fast test": Lead("trainer=debug"),
    },
    "task": {
        "classify image_classification multiclass binary": Lead("task=classification"),
        "segment semantic semantic_segmentation masks": Lead("task=segmentation"),
        "instance_segmentation panoptic": Lead(
            "task=segmentation", "tlx has no segmentation of single objects; of classes"
        ),
        "detect object_detection objects boxes bbox yolo fcos retinanet": Lead("task=detection"),
        "regression multilabel multi_label pose keypoints depth ocr captioning retrieval clustering": Lead(
            "", f"tlx does not have it yet; {_TASKS}"
        ),
    },
    "cache": {"false no none disabled": Lead("cache=off"), "true yes on": Lead("cache=default")},
    "classifier": {
        "svc rbf": Lead("strategy=features classifier=svm"),
        "linear_svc linearsvc": Lead("strategy=features classifier=linear_svm"),
        "rf forest tree decision_tree extra_trees": Lead("strategy=features classifier=random_forest"),
        "lr logistic logistic_regression linear softmax": Lead("strategy=features classifier=logreg"),
        "nb gaussian_nb bayes": Lead("strategy=features classifier=naive_bayes"),
        "kneighbors nearest_neighbours nearest_neighbors": Lead("strategy=features classifier=knn"),
        "xgboost xgb lightgbm catboost gbm boosting": Lead("strategy=features classifier=gradient_boosting"),
        "centroid prototype ncm": Lead("strategy=features classifier=nearest_centroid"),
    },
    "hydra/launcher": {"slurm": Lead("hydra/launcher=submitit_slurm"), "local": Lead("hydra/launcher=submitit_local")},
    "hydra/sweeper": {
        "tpe bayes bayesian hyperopt ax": Lead("hydra/sweeper=optuna"),
        "grid": Lead("hydra/sweeper=basic"),
    },
}

#: Values that other tools accept for a key.
VALUES: dict[str, dict[str, Lead]] = {
    "trainer.precision": {
        "16 fp16 half float16 mixed amp": Lead("trainer.precision=16-mixed"),
        "32 fp32 float32 full": Lead("trainer.precision=32-true"),
        "bf16 bfloat16": Lead("trainer.precision=bf16-mixed"),
        "64 fp64 double": Lead("trainer.precision=64-true"),
    },
    "task.monitor": {
        "accuracy acc val_acc val_accuracy top1": Lead("task.monitor=val/accuracy task.mode=max"),
        "f1 val_f1 macro_f1": Lead("task.monitor=val/f1 task.mode=max"),
        "auc auroc roc_auc val_auc": Lead("task.monitor=val/auroc task.mode=max"),
        "balanced_accuracy": Lead("task.monitor=val/balanced_accuracy task.mode=max"),
        "loss val_loss": Lead("task.monitor=val/loss"),
    },
    "dataset.augment": {
        "true yes on default flip": Lead("dataset.augment=light"),
        "false no off null": Lead("dataset.augment=none"),
        "randaugment autoaugment trivialaugment auto rand": Lead("dataset.augment=trivial"),
        "mixup cutmix heavy": Lead("dataset.augment=strong", "tlx augments by presets; nearest"),
    },
    "strategy.stages.schedule": {
        "step multistep exponential poly plateau onecycle one_cycle cosine_annealing": Lead(
            "strategy.stages.0.schedule=cosine", "tlx has constant, linear and cosine; nearest"
        ),
    },
}

#: Hydra keys that tlx sets.
HYDRA = {
    "hydra.run.dir": Lead("run_dir=VALUE", "the directory of a run"),
    "hydra.sweep.dir": Lead("output_dir=VALUE", "the directory of all runs"),
    "hydra.sweep.subdir": Lead("run_name=VALUE", "the name of a run"),
    "hydra.job.name": Lead("run_name=VALUE", "the name of a run"),
    "hydra.searchpath": Lead("--config-dir DIR", "your own options"),
    "hydra.mode": Lead("-m", "a sweep"),
}

VERBS = {
    "fit finetune fine_tune run start learn": Lead("tlx train"),
    "eval evaluate validate val score": Lead("tlx test RUN"),
    "infer inference classify pred forward": Lead("tlx predict RUN IMAGES"),
    "dry_run summary describe stages params": Lead("tlx plan"),
    "inspect verify lint doctor": Lead("tlx check"),
    "probe probes layers map": Lead("tlx atlas"),
    "labels noise mislabeled mislabelled cleanlab": Lead("tlx audit"),
    "sweep multirun search tune grid hpo optuna": Lead("tlx train -m"),
    "resume continue restart": Lead("tlx train resume=RUN"),
    "ls show models backbones datasets strategies": Lead("tlx list"),
    "results status jobs": Lead("tlx runs"),
    "diff versus vs": Lead("tlx compare RUN RUN"),
    "history ancestry parents tree": Lead("tlx lineage RUN"),
    "clean clear purge": Lead("tlx cache"),
    "version": Lead("tlx --version"),
    "example quickstart tutorial hello": Lead("tlx demo"),
    "tensorboard logs dashboard board ui": Lead("tensorboard --logdir outputs"),
    "export onnx deploy serve": Lead("tlx predict RUN IMAGES", "tlx exports no network; nearest"),
}

#: Other words for what `tlx list` lists.
LISTED = {
    "models networks nets architectures archs": "backbones",
    "data sets": "datasets",
    "methods": "strategies",
    "optims optimisers": "optimizers",
    "experiments_run results outputs": "runs",
}
