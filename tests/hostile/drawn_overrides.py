"""Overrides at random: keys that exist or nearly so, values of every type, fragments of Hydra's syntax."""

from __future__ import annotations

import random
from dataclasses import fields

from tlx.building.listed import SOURCES
from tlx.config.compose import options
from tlx.config.listing import GROUPS
from tlx.config.schema import SCHEMAS, Cache, Classifier, Experiment, Optimizer, Stage, Strategy, Trainer
from tlx.config.words import KEYS, OPTIONS
from tlx.data.catalog import source_class


def _words(*lines: str) -> list[str]:
    return " ".join(lines).split()


# No absolute path to a place that exists and no target with an effect: what is accepted may be planned.
VALUES = [
    *_words(
        "0 1 2 -1 0.5 1.0 1e-3 1e400 -0 nan inf -inf 1_000 0x10 0o7 1j 1:30 2020-01-01", "9" * 40, "1e-400 \ufeff1"
    ),
    *_words(
        "true false null None yes off ??? ~ - -- .. . ? * # @ ! : ; | & $ %s {0} a:b a=b = naïve nosuch/x nosuch.csv"
    ),
    *_words(
        "[] {} [1] [1,2] [null] [[]] [a,b] {a:1} {a:{b:[1]}} {0:1} {_target_:x} [1 1] {a a} 'a ( ) a(b) a,b 1,2,3 a, ,"
    ),
    *_words(
        "int(x) int(1,2) range(3) range(0,3,0) range(3,0) range(0,1e12) choice(1,2) choice() interval(0,1) glob(*)"
    ),
    *_words("interval(1,0) glob(*,exclude=a) sort(3,2) sort(a,1) shuffle(1,2) tag(a,1) str([1]) float(1) json_str({})"),
    *_words(
        "${seed} ${nosuch} ${oc.env:NOPE} ${oc.env:NOPE,5} ${ } ${${seed}} ${dataset} ${.name} ${..seed} ${run_name:}"
    ),
    *_words(
        "${nosuch:1} ${oc.decode:'['} \\${x} $(ls) nosuch.thing a.b.c torch.optim.Adamw torch.optim.SGD tlx.data.digits"
    ),
    *_words("collections.Counter val/loss target/entropy head last:2 last:0 stage9+ all stem+ -head stage1-stage3 *a"),
    *(
        "",
        " ",
        "''",
        '""',
        '"a',
        "a b",
        "\t",
        "\n",
        "a\nb",
        "\x00",
        "\x1b[31m",
        "\x7f",
        "\udcff",
        "\ud800",
        "\u202e",
        "x" * 300,
    ),
    *("\U0001f41c", "!!python/object/apply:os.getcwd []", "&a 1", "- 1"),
]
BEFORE = ("", "", "", "+", "++", "~", "+++", "-", "--", "@", ".", " ", "=", "\\", "'", '"', "[", "${", "\udc80")
AFTER = ("", "", "", ".0", ".-1", ".x", "[0]", "@x", "@_global_", "@:x", "/x", ".", "..", ":", " ", "\n")
HYDRA = _words(
    "hydra hydra.run.dir hydra.sweep.dir hydra.job.name hydra/launcher hydra/sweeper hydra/job_logging hydra.verbose",
    "hydra.launcher.n_jobs hydra.sweeper.n_trials hydra.sweeper.params hydra.searchpath hydra.callbacks hydra.nosuch",
)


def keys() -> list[str]:
    """Return every key of the schema, wherever it may stand."""
    places: dict[str, list[type]] = {"": [Experiment], "strategy.": [Strategy], "strategy.stages.0.": [Stage]}
    places |= {"optimizer.": [Optimizer], "trainer.": [Trainer], "cache.": [Cache], "classifier.": [Classifier]}
    for target, schema in {**SCHEMAS, **{target: source_class(target).keys for target in SOURCES}}.items():
        part = {"backbones": "backbone.", "data": "dataset.", "tasks": "task.", "adaptation": "strategy.adapt."}
        places.setdefault(part.get(target.split(".")[1], "logger."), []).append(schema)
    places["target."] = places["dataset."]
    own = {f"{place}{spec.name}" for place, schemas in places.items() for one in schemas for spec in fields(one)}
    return sorted(own | {"optimizer.betas", "optimizer.momentum", "classifier.C", "classifier.search.C"})


class Drawn:
    """Draws command lines; the same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.keys = keys()
        self.words = [word for words in KEYS for word in words.split()]
        self.options = {group: options(group) for group in GROUPS.values()}
        self.others = {group: [w for words in table for w in words.split()] for group, table in OPTIONS.items()}

    def overrides(self) -> list[str]:
        """Return one to four overrides."""
        return [self.override() for _ in range(self.random.randint(1, 4))]

    def override(self) -> str:
        """Return one override: one in three is an option that exists, to reach what depends on it."""
        choose, kind = self.random.choice, self.random.random()
        group = choose(list(self.options))
        if kind < 0.3:
            return f"{group}={choose(self.options[group])}"
        if kind < 0.4:
            known = (*self.options[group], *self.others.get(group, ()), *VALUES)
            return f"{choose(BEFORE)}{group}{choose(AFTER)}={choose(known)}"
        if kind < 0.5:
            return choose(
                (choose(VALUES), f"~{choose((*self.keys, *self.options))}", f"{choose(HYDRA)}={choose(VALUES)}")
            )
        key = choose(self.words) if kind < 0.55 else choose(self.keys)
        if kind < 0.85:
            return f"{key}={choose(VALUES)}"
        return f"{choose(BEFORE)}{key}{choose(AFTER)}={choose(VALUES)}"

    def command(self, run: str) -> list[str]:
        """Return a command of `tlx` that does not train.

        Args:
            run: A run directory without weights.
        """
        verb = self.random.choice(("check", "plan", "train", "train", "train -m", "train -m", "test", "list"))
        if verb == "list":
            asked = self.random.choice((*GROUPS, "runs", "models", self.random.choice(VALUES)))
            return ["list", asked, self.random.choice(VALUES)]
        if verb == "test":
            return ["test", self.random.choice((run, run, run, *VALUES)), *self.overrides()]
        return [*verb.split(), *self.overrides()]
