"""The names that each node of a configuration may build. They are exact: a package does not allow what is in it.

The lists are for files, which may come from elsewhere. A user may type or allow other names (`safety.py`).
"""

from __future__ import annotations

from tlx.building.loggers import LOCAL

# The name in a dataset node -> the class of that source. The function of the documented name is in the same file.
SOURCES = {
    "tlx.data.arrays": "tlx.data.sources.arrays.ArraysSource",
    "tlx.data.boxes": "tlx.data.sources.boxes.BoxesSource",
    "tlx.data.coco": "tlx.data.sources.coco.CocoSource",
    "tlx.data.digits": "tlx.data.sources.digits.DigitsSource",
    "tlx.data.folder": "tlx.data.sources.folder.FolderSource",
    "tlx.data.letters": "tlx.data.sources.characters.LettersSource",
    "tlx.data.masks": "tlx.data.sources.masks.MasksSource",
    "tlx.data.plates": "tlx.data.sources.characters.PlatesSource",
    "tlx.data.scenes": "tlx.data.sources.scenes.ScenesSource",
    "tlx.data.table": "tlx.data.sources.table.TableSource",
    "tlx.data.torchvision_set": "tlx.data.sources.torchvision_sets.TorchvisionSource",
    "tlx.data.unlabelled": "tlx.data.sources.unlabelled.UnlabelledSource",
    "tlx.data.voc": "tlx.data.sources.voc.VocSource",
    "tlx.data.yolo": "tlx.data.sources.yolo.YoloSource",
}
# A network is rebuilt from one of these, the architecture in model.json, without other weights.
ARCHITECTURES = tuple(
    f"tlx.backbones.{name}"
    for name in ("torchvision_backbone", "timm_backbone", "efficientnet_lite0", "small_cnn", "own_backbone")
)
BACKBONES = (*ARCHITECTURES, "tlx.backbones.file_backbone", "tlx.backbones.run_backbone")
TASKS = ("tlx.tasks.Classification", "tlx.tasks.Detection", "tlx.tasks.Segmentation")
ADAPTATIONS = tuple(
    f"tlx.adaptation.{name}" for name in ("AdaBn", "Cdan", "Coral", "Dan", "Dann", "Mcc", "SelfTraining")
)
# Optimizers that have a learning rate and need neither a second pass nor another optimizer.
OPTIMIZERS = (
    *(f"torch.optim.{name}" for name in (
        "Adafactor", "Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "LBFGS", "Muon", "NAdam", "RAdam",
        "RMSprop", "Rprop", "SGD", "SparseAdam",
    )),
    *(f"timm.optim.{name}" for name in (
        "AdaBelief", "Adadelta", "Adafactor", "AdafactorBigVision", "Adagrad", "Adahessian", "Adam", "AdamP", "AdamW",
        "AdamWLegacy", "Adamax", "Adan", "Adopt", "LaProp", "Lamb", "Lars", "Lion", "MADGRAD", "Mars", "Muon", "NAdam",
        "NAdamLegacy", "NAdamW", "NvNovoGrad", "RAdam", "RAdamLegacy", "RMSprop", "RMSpropTF", "SGD", "SGDP", "SGDW",
    )),
)  # fmt: skip
# Classifiers that do not wrap another estimator.
CLASSIFIERS = (
    *("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", "sklearn.dummy.DummyClassifier"),
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis",
    *(f"sklearn.ensemble.{name}Classifier" for name in (
        "AdaBoost", "Bagging", "ExtraTrees", "GradientBoosting", "HistGradientBoosting", "RandomForest",
    )),
    "sklearn.gaussian_process.GaussianProcessClassifier",
    *(f"sklearn.linear_model.{name}" for name in (
        "LogisticRegression", "LogisticRegressionCV", "PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier",
        "RidgeClassifierCV", "SGDClassifier",
    )),
    *(f"sklearn.naive_bayes.{name}NB" for name in (
        "Bernoulli", "Categorical", "Complement", "Gaussian", "Multinomial",
    )),
    *(f"sklearn.neighbors.{name}" for name in (
        "KNeighborsClassifier", "NearestCentroid", "RadiusNeighborsClassifier",
    )),
    "sklearn.neural_network.MLPClassifier",
    *("sklearn.svm.LinearSVC", "sklearn.svm.NuSVC", "sklearn.svm.SVC"),
    *("sklearn.tree.DecisionTreeClassifier", "sklearn.tree.ExtraTreeClassifier"),
)  # fmt: skip
LOGGERS = LOCAL  # others may send metrics to a server
SAMPLERS = tuple(
    f"optuna.samplers.{name}Sampler"
    for name in ("BruteForce", "CmaEs", "GP", "Grid", "NSGAII", "NSGAIII", "QMC", "Random", "TPE")
)
PRUNERS = tuple(
    f"optuna.pruners.{name}Pruner"
    for name in ("Hyperband", "Median", "Nop", "Patient", "Percentile", "SuccessiveHalving", "Threshold", "Wilcoxon")
)
LAUNCHERS = (
    *("hydra._internal.core_plugins.basic_launcher.BasicLauncher", "hydra_plugins.tlx.BasicLauncher"),
    *(f"hydra_plugins.tlx.{name}Launcher" for name in ("Joblib", "Local", "Ray", "Slurm")),
)
SWEEPERS = (
    *("hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "hydra_plugins.tlx.GridSweeper"),
    "hydra_plugins.tlx.OptunaSweeper",
)

# By the node's path in a configuration; `architecture` is in model.json.
LISTED: dict[str, tuple[str, ...]] = {
    "architecture": ARCHITECTURES,
    "backbone": BACKBONES,
    "dataset": tuple(SOURCES),
    "target": tuple(SOURCES),
    "task": TASKS,
    "strategy.adapt": ADAPTATIONS,
    "optimizer": OPTIMIZERS,
    "classifier": CLASSIFIERS,
    "logger": LOGGERS,
    "hydra.launcher": LAUNCHERS,
    "hydra.sweeper": SWEEPERS,
    "hydra.sweeper.sampler": SAMPLERS,
    "hydra.sweeper.pruner": PRUNERS,
    "hydra.sweeper.pruner.wrapped_pruner": PRUNERS,
}


def listed_at(place: str) -> tuple[str, ...] | None:
    """Return the names that the node at a path may build; None if nothing is built there. `logger.NAME`: a logger."""
    above, _, name = place.rpartition(".")
    return LISTED["logger"] if above == "logger" and name else LISTED.get(place)
