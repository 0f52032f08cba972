"""The command line: verbs, each a few lines that call the library. Importing it imports neither torch nor Hydra."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tlx.base import ending
from tlx.base.asking import ask_to_replace
from tlx.base.children import shield
from tlx.base.errors import ConfigError, Interrupted, TlxError
from tlx.base.imports import start_lean
from tlx.base.legible import escape_what_terminals_lack
from tlx.base.printable import counted, printable

if TYPE_CHECKING:
    from tlx.runs.run import Run

HELP = """\
tlx: transfer a deep vision network to your own images: classification and segmentation.

  tlx train [key=value …]            train in stages, test once, write a run directory
  tlx train -m key=a,b seed=0,1,2    train every combination (Hydra multirun)
  tlx train resume=RUN               resume a run that was killed or stopped
  tlx plan  [key=value …]            print stages x layer groups x learning rates; no training, no download
  tlx check [key=value …]            open every image of the data set, report broken and unusual ones; no training
  tlx atlas [key=value …]            which layers transfer: linear probes on every layer group; no training
  tlx audit [key=value …]            which labels are likely wrong: a table and a page of pictures; no training
  tlx test RUN [key=value …]         evaluate on the test split, from the run directory alone
  tlx predict RUN IMAGES… [-o PLACE]  write predictions.csv, or a folder of masks or boxes and overlays
  tlx runs [PATTERN]                 list runs: state, test figure, seconds, what differs
  tlx compare RUN RUN…               compare runs on the same test images, image by image
  tlx lineage RUN                    print the runs that a run was trained from, and what each took over
  tlx list backbones|datasets|tasks|strategies|classifiers|optimizers|runs [GLOB]
  tlx cache [clear [ENTRY…]]         list or remove stored outputs of layer groups, and images: size, age, owner
  tlx demo                           transfer from digits 0-4 to digits 5-9, masks, boxes; offline
  tensorboard --logdir outputs       view the runs

Start:
  tlx train dataset=digits backbone=small_cnn strategy=scratch
  tlx train dataset=folder dataset.root=~/pets backbone=resnet50 strategy=gradual
  tlx train task=segmentation dataset=masks dataset.root=~/cells

--config-dir DIR adds your own options to every group. TLX_FULL_ERROR=1 shows tracebacks.
Help for a verb: tlx train --help
"""

TRAIN_HELP = """\
tlx train [-m] [--config-dir DIR] [key=value …]

  key=value            override a key: optimizer.lr=3e-4, strategy=gradual, dataset.root=~/pets
  -m, --multirun       train every combination of key=a,b,c
  resume=RUN           resume an unfinished run, from its directory alone
  --config-dir DIR     add your own options to every group
  --cfg job            print the composed configuration (Hydra's flag; --resolve resolves it) and stop
  tlx plan …           print what the same overrides would train
"""


_CLASSES_AT_MOST = 20  # rows of a table of classes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb; for a mistake that the user can fix, print it without a traceback and exit with code 2."""
    if arguments is not None:
        _run(list(arguments))
        return
    signal.signal(signal.SIGINT, _leave)
    shield()
    start_lean()
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # reports its cache once per machine
    escape_what_terminals_lack()
    ending.run(lambda: _run(sys.argv[1:]))


def _run(args: list[str]) -> None:
    verbs: dict[str, Callable[[list[str]], None]] = {
        "train": _train,
        "plan": _plan,
        "check": _check,
        "atlas": _atlas,
        "audit": _audit,
        "test": _test,
        "predict": _predict,
        "runs": _runs,
        "compare": _compare,
        "lineage": _lineage,
        "list": _list,
        "cache": _cache,
        "demo": _demo,
    }
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return
    if args[0] == "--version":
        from tlx import __version__

        print(f"tlx {__version__}")
        return
    try:
        if args[0] not in verbs:
            from tlx.config.leads import verb_hint

            raise TlxError(f"expected a verb, got '{args[0]}': {verb_hint(args[0], verbs)}")
        verbs[args[0]](args[1:])
        sys.stdout.flush()
    except TlxError as error:
        if os.environ.get("TLX_FULL_ERROR") == "1":
            traceback.print_exc()
        else:
            print(printable(f"tlx: {error}"), file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        if str(error) != "Could not determine home directory.":  # the message of pathlib
            raise
        print("tlx: expected a home directory for ~, got none; type the whole path, or set HOME", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `tlx list backbones | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Interrupted as error:
        print(printable(f"tlx: {error}; to resume, repeat the command"), file=sys.stderr)
        sys.exit(error.exit_code)


def _leave(number: int, frame: object) -> None:
    """End at once on Ctrl-C while there is nothing to save; an exception might be raised inside an import."""
    os.write(2, b"\ntlx: stopped by SIGINT\n")
    os._exit(128 + number)


def _train(args: list[str]) -> None:
    if "-h" in args or "--help" in args:
        print(TRAIN_HELP, end="")
        return
    flags, overrides, config_dir = _split(args)
    if any(text.startswith("resume=") for text in overrides):
        _resume(flags, overrides)
        return
    from tlx.config import check_command_line, for_hydra

    if config_dir is not None:
        flags += ["--config-dir", os.path.abspath(os.path.expanduser(config_dir))]
    _find_own_modules(overrides)
    multirun = bool({"-m", "--multirun"} & set(flags))
    mistakes = check_command_line(overrides, config_dir, multirun)
    if mistakes:
        raise ConfigError(mistakes)

    from tlx import launch

    arguments = [*flags, *for_hydra(overrides, config_dir)]
    if multirun and (shown := {flag for flag in flags if flag.partition("=")[0] in _SHOW}):
        raise TlxError(f"expected {' '.join(sorted(shown))} without -m, got both; leave one out")
    if multirun and "--hydra-help" not in flags:
        sys.exit(launch.multirun(arguments, overrides, config_dir))
    launch.hydra_main(arguments)


def _find_own_modules(overrides: Sequence[str]) -> None:
    """Let a training find the user's own modules that its command names in the working directory."""
    from tlx.base.own_modules import find_typed_modules_in
    from tlx.building.safety import typed_targets

    find_typed_modules_in(os.getcwd(), typed_targets(overrides))


def _resume(flags: list[str], overrides: list[str]) -> None:
    directory, *rest = sorted(overrides, key=lambda text: not text.startswith("resume="))
    if flags or any(text.startswith("resume=") for text in rest):
        raise TlxError("resume: expected one run and no flags; to resume a sweep, repeat its command")
    if not (place := directory.partition("=")[2]):
        raise TlxError("resume: expected a run directory, got nothing; to list the runs: tlx runs")
    from tlx.launch import job
    from tlx.runs.resume import resumed

    job(resumed(os.path.expanduser(place), rest))


def _plan(args: list[str]) -> None:
    parser = _parser(
        "plan",
        "Print stages x layer groups x parameters x learning rates; for segmentation and detection also the size of "
        "the input, steps, and minutes, from a trial of seconds. Trains and downloads nothing.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for tlx train")
    parser.add_argument("--config-dir", help="a directory of your own options")
    _keys_only(args)
    known = parser.parse_intermixed_args(args)
    from tlx.config import compose

    _find_own_modules(known.overrides)
    config = compose(known.overrides, known.config_dir)

    from tlx.procedures import plan_table

    _print(plan_table(config, timed=True))


def _check(args: list[str]) -> None:
    parser = _parser(
        "check",
        "Open every image and mask of a data set; report its splits, broken files, empty and dominating classes, "
        "identical and small images, sizes of boxes. Trains nothing. "
        "Exit code 0: every file can be read; 1: files are broken; "
        "2: a mistake in the command.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for tlx train: dataset=folder …")
    parser.add_argument("--config-dir", help="a directory of your own options")
    parser.add_argument(
        "--pictures",
        metavar="FILE",
        help="write a page of the set: counts, findings, samples with their boxes or masks, and how training draws "
        "them (check.html or check.png)",
    )
    parser.add_argument(
        "--similar",
        choices=("auto", "all", "none"),
        default="auto",
        help="shots of the same thing, found by a network: auto: in up to 2,000 pictures; all; none (default: auto)",
    )
    _keys_only(args, "--pictures", "--similar")
    known = parser.parse_intermixed_args(args)
    from tlx.config.compose import compose_for_images

    config = compose_for_images(known.overrides, known.config_dir)

    from omegaconf import OmegaConf

    from tlx.backbones.catalog import input_side, takes_one_size
    from tlx.data import load_checked
    from tlx.data.check_report import SHOTS_AT_MOST, check_report, input_side_of

    node = OmegaConf.to_container(config.dataset, resolve=True)
    assert isinstance(node, dict)
    plain = {str(key): value for key, value in node.items()}
    if known.pictures is not None:
        from tlx.review.set_page import refuse_page

        refuse_page(known.pictures)
    checked = load_checked(plain, stop=False)
    if known.similar != "none":
        checked = checked.compared(_print, None if known.similar == "all" else SHOTS_AT_MOST)
    name = str(config.backbone.get("name"))
    side, only_this = input_side(name), takes_one_size(name)
    _print(check_report(checked, side, only_this))
    if known.pictures is not None:
        from tlx.review.set_page import write_set_page

        findings = checked.findings(input_side_of(checked, side, only_this))
        written = write_set_page(checked, known.pictures, side, findings)
        _print(f"{counted(written, 'picture', 'pictures')} in {known.pictures}")
    if checked.broken:
        sys.exit(1)


def _atlas(args: list[str]) -> None:
    parser = _parser(
        "atlas",
        "Probe every layer group of one backbone, or of several (backbone=a,b), with a quarter, half and all of the "
        "images: which layers transfer, and whether more images would help. Trains no network and reads no test "
        "image. Writes atlas.csv, atlas.png and atlas.md.",
    )
    _add_place(parser, "outputs/atlas/NAME")
    known = parser.parse_intermixed_args(_overrides_of(args))
    from tlx.choice.commands import atlas

    _print(atlas(args, known))


def _audit(args: list[str]) -> None:
    parser = _parser(
        "audit",
        "Rank the labels of images by how likely they are wrong, by classifiers that have not seen them. "
        "Writes audit.csv, audit.html with pictures and, for files, labels.csv to be corrected.",
    )
    _add_place(parser, "outputs/audit/NAME")
    parser.add_argument("--test", action="store_true", help="judge the labels of the test split as well")
    known = parser.parse_intermixed_args(_overrides_of(args))
    from tlx.choice.commands import audit

    _print(audit(args, known))


def _add_place(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the arguments of a verb that takes overrides and writes a folder."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for tlx train: dataset=folder …")
    parser.add_argument("--config-dir", help="a directory of your own options")
    parser.add_argument("-o", "--output", metavar="FOLDER", help=f"where to write (default: {default})")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results in FOLDER without asking")


def _overrides_of(args: list[str]) -> list[str]:
    """Return the words of a verb that takes overrides and writes a folder; let own modules be found."""
    _keys_only(args, "-o", "--output", "--overwrite", "--test")
    _find_own_modules([text for text in args if "=" in text])
    return args


def _test(args: list[str]) -> None:
    parser = _parser("test", "Evaluate a finished run on its test split.")
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="such as dataset.root=~/pets, if it has moved"
    )
    known = parser.parse_args(args)
    from tlx.measures.by_class import figure_lines
    from tlx.runs.run import Run
    from tlx.tasks.catalog import kind_of

    run = Run(known.run)
    tested = _so_far(run).tested(known.overrides)
    _print(f"{counted(tested.images, 'test image', 'test images')}:")
    lines = figure_lines(tested.figures, kind_of(run.config.task).headline)
    _print("\n".join([*lines, *(["", *tested.by_class.lines(_CLASSES_AT_MOST)] if tested.by_class else [])]))


def _predict(args: list[str]) -> None:
    parser = _parser(
        "predict",
        "Write predictions for images: a table of classes, or a folder of masks or boxes, overlays and tables.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders or globs")
    parser.add_argument(
        "-o",
        "--output",
        help="CSV file; for masks and boxes a folder, or a CSV file of areas or counts (default: predictions.csv, "
        "predictions/)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        help="images per batch (default: %(default)s; for masks and boxes always one)",
    )
    parser.add_argument(
        "--on-bad", choices=["stop", "skip"], default="stop", help="at a broken file (default: %(default)s)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier predictions without asking")
    known = parser.parse_args(args)
    if known.batch_size < 1:
        raise TlxError(f"--batch-size: expected at least 1, got {known.batch_size}")
    if not _is_run(known.run) and len(runs := [one for one in known.images if _is_run(one)]) == 1:
        images = [one for one in known.images if one not in runs]
        raise TlxError(
            f"expected the run first, then images; type: tlx predict {shlex.join([*runs, known.run, *images])}"
        )
    from tlx.runs.run import Run

    run = Run(known.run)
    output, earlier = run.refuse_output(known.output)  # before spending minutes on the images
    if earlier and not known.overwrite:
        ask_to_replace(str(output), "earlier predictions", ["tlx", "predict", *args])
    found = _so_far(run).predict(known.images, known.batch_size, known.on_bad)
    found.save(output)
    _print(f"{counted(len(found), 'prediction', 'predictions')} in {known.output or output}")
    if str(output) not in ("/dev/stdout", "/dev/stderr"):
        _print("\n".join(found.summary()))


def _runs(args: list[str]) -> None:
    parser = _parser(
        "runs",
        "List runs, those of one data set together, best test figure first: state, the figure with its 95 % interval, "
        "seconds of training, and the settings in which they differ.",
    )
    where = "a part of their names, a pattern such as 'pets-*', or a folder (default: all below outputs)"
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help=where)
    orders = ("figure", "time", "seconds", "name")
    parser.add_argument("--sort", choices=orders, default="figure", help="order (default: %(default)s)")
    parser.add_argument("--csv", action="store_true", help="print CSV, with a column for each setting that differs")
    known = parser.parse_args(args)
    from tlx.runs.run_list import listed_runs, run_csv, run_lines

    found = listed_runs(known.pattern, order=known.sort)
    _print("".join(run_csv(found)).rstrip("\n") if known.csv else "\n".join(run_lines(found)))


def _compare(args: list[str]) -> None:
    parser = _parser(
        "compare",
        "Compare runs with the first one on the same test images: the difference of each test metric with its 95 % "
        "interval, and the settings in which they differ.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories, at least two")
    known = parser.parse_args(args)
    from tlx.runs.compare import comparison

    _print(comparison(known.runs))


def _lineage(args: list[str]) -> None:
    parser = _parser("lineage", "Print the runs that a run was trained from, and what each took over.")
    parser.add_argument("run", metavar="RUN", help="a run directory")
    known = parser.parse_args(args)
    from tlx.runs.lineage import table
    from tlx.runs.run import Run

    _print(table(Run(known.run)))


def _list(args: list[str]) -> None:
    parser = _parser("list", "List the options of a group, one per line.")
    groups = "backbones, datasets, strategies, runs, …; without it, list the groups"
    parser.add_argument("what", nargs="?", help=groups)
    parser.add_argument(
        "glob", nargs="?", default="*", help="such as 'resnet*', 'timm/*convnext*'; for runs also a folder"
    )
    parser.add_argument("--config-dir", help="a directory of your own options")
    parser.add_argument(
        "--check",
        action="store_true",
        help="cut timm's networks into layer groups and compare them with the whole: one small network of each family, "
        "or those that match 'timm/…'; takes seconds each",
    )
    known = parser.parse_args(args)
    from tlx.config.leads import listed
    from tlx.config.listing import listing, overview

    if known.what and listed(known.what) == "runs":
        from tlx.runs.run_list import listed_runs, run_lines

        _print("\n".join(run_lines(listed_runs(known.glob))))
        return
    if known.check:
        _check_networks(known.what, known.glob)
        return
    found = listing(known.what, known.glob, known.config_dir) if known.what else overview(known.config_dir)
    _print("\n".join(found))


def _check_networks(what: str | None, glob: str) -> None:
    from tlx.config.leads import listed
    from tlx.config.listing import timm_matching

    if not what or listed(what) not in ("backbone", "backbones"):
        raise TlxError("list --check: expected backbones; type: tlx list backbones --check")
    names = timm_matching(glob)
    from tlx.backbones.timm_check import families, report

    for line in report(names or families()):
        _print(line)


def _cache(args: list[str]) -> None:
    parser = _parser(
        "cache",
        "List the stored outputs of frozen layer groups, and decoded images: key, size, last use, content and owner. "
        "`clear` removes all entries, or the named ones; runs compute them again if they need them.",
    )
    parser.add_argument("action", nargs="?", default="list", metavar="clear", help="remove entries")
    parser.add_argument("entries", nargs="*", metavar="ENTRY", help="keys, or beginnings of keys (default: all)")
    parser.add_argument("--dir", help="the folder that cache.dir names (default: TLX_CACHE or ~/.cache/tlx)")
    known = parser.parse_args(args)
    from tlx.features.store import Store, count, gigabytes, left_alone, table

    if known.action not in ("list", "clear"):
        raise TlxError(f"cache: expected clear or nothing, got '{known.action}'; type: tlx cache clear")
    store = Store(known.dir, make=False)
    if known.action == "list":
        _print("\n".join(table(store)))
        return
    found = store.find(known.entries)
    freed = sum(entry.bytes for entry in found)
    for entry in found:
        entry.remove()
    _print("\n".join([f"{count(found)} removed, {gigabytes(freed)}, from {store.folder}", *left_alone(store)]))


def _demo(args: list[str]) -> None:
    parser = _parser("demo", "Digits 0-4 to digits 5-9: compare transfer with training from scratch, offline.")
    parser.add_argument("--output-dir", default="outputs/demo", help="folder of the runs (default: %(default)s)")
    known = parser.parse_args(args)
    from tlx.demo import demo

    print(demo(known.output_dir))


def _print(text: str) -> None:
    """Print the result of a verb. Names in it may come from anybody, so control characters are escaped."""
    print(printable(text))


def _parser(verb: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"tlx {verb}", description=description)


def _so_far(run: Run) -> Run:
    """Warn if a run is not finished and has weights: the best ones so far are used. Return the run."""
    state = run.status.get("state")
    if state not in (None, "finished") and (run.checkpoints / "best.ckpt").is_file():
        print(f"tlx: {run.place} is not finished ({state}): using its best weights so far", file=sys.stderr)
    return run


def _is_run(path: str) -> bool:
    return os.path.isfile(os.path.join(os.path.expanduser(path), "status.json"))


def _refuse_flag(arg: str, rest: Sequence[str]) -> None:
    """Raise for `--epochs 3` and `--epochs=3`: tlx takes keys, not flags."""
    from tlx.config.leads import flag_hint

    name, equals, value = arg.partition("=")
    follows = rest[0] if rest and not equals and not rest[0].startswith("-") and "=" not in rest[0] else value
    raise TlxError(f"expected key=value, got the flag '{arg}'; {flag_hint(name, follows)}")


def _keys_only(args: list[str], *more: str) -> None:
    """Raise for flags among overrides, except those of the verbs that compose a configuration, and `more`."""
    with_value = ("--config-dir", *more)
    own = ("-h", "--help", *with_value)
    for i, arg in enumerate(args):
        is_value = i > 0 and args[i - 1] in with_value
        if arg.startswith("-") and arg.partition("=")[0] not in own and not is_value:
            _refuse_flag(arg, args[i + 1 :])


# Flags that `tlx train` passes on to Hydra.
_WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--info", "-i"}
_SHOW = {"--cfg", "-c", "--info", "-i"}
_WITHOUT_VALUE = {
    *("-m", "--multirun", "-r", "--run", "--resolve", "--hydra-help"),
    *("-sc", "--shell-completion", "--version"),
}


def _split(args: list[str]) -> tuple[list[str], list[str], str | None]:
    """Return Hydra's flags with their values, the overrides, and the value of --config-dir."""
    flags: list[str] = []
    overrides: list[str] = []
    config_dir = None
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        name, _, value = arg.partition("=")
        if name in ("--config-dir", "-cd"):
            if not value and not rest:
                raise TlxError("--config-dir: expected a directory of your own options, got nothing")
            config_dir = value or rest.pop(0)
        elif name in ("--config-name", "-cn", "--config-path", "-cp"):
            raise TlxError(f"expected a command line without {name}; put experiment/NAME.yaml into a --config-dir")
        elif name == "--resume":
            raise TlxError(f"expected resume=RUN without dashes; type: tlx train resume={value or 'RUN'}")
        elif name == "--experimental-rerun":  # Hydra would read a pickle, which can run code
            raise TlxError("expected resume=RUN instead of --experimental-rerun; type: tlx train resume=RUN")
        elif arg in _WITH_VALUE and rest:
            flags += [arg, rest.pop(0)]
        elif arg.startswith("-"):
            if name not in _WITH_VALUE | _WITHOUT_VALUE:
                _refuse_flag(arg, rest)
            flags.append(arg)
        else:
            overrides.append(arg)
    return flags, overrides, config_dir
