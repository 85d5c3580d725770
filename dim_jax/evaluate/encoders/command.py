"""The command `python -m dim_jax.evaluate`, from its arguments to its exit code."""

import argparse
import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from dim_jax import contracts, settings
from dim_jax.evaluate.encoders import chosen
from dim_jax.processes import backend, compilation_cache, short_commands

PROGRAM = "dim_jax.evaluate"
# Settings of the block `data` that say which images there are and how they are read.
_DATA = (
    *("data_dir", "image_size", "fit", "channels", "bits", "image_column", "label_column"),
    *("train_split", "test_split", "test_fraction", "eval_train_images"),
)
_OUT_OF_MEMORY = (
    "finished evaluations are kept; lower --batch, or --eval-train-images, and run the same "
    "command again"
)


def run(arguments: Sequence[str], judge: Callable[[Any], Any] | None = None) -> int:
    """Runs the command of the arguments, without the program; returns the exit code.

    Args:
      judge: in the place of `judgement.judge`.
    """
    return short_commands.exit_code(PROGRAM, lambda: _run(arguments, judge))


def _run(arguments: Sequence[str], judge: Callable[[Any], Any] | None) -> int:
    parser = _parser()
    options, surplus = parser.parse(arguments)
    if surplus:
        raise contracts.UserError(
            f"unknown argument '{surplus[0]}': options are written --name VALUE"
        )
    # Figures are drawn to files; a notebook's backend may be missing here.
    os.environ["MPLBACKEND"] = "agg"
    # The function of another framework may need memory of the same GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from dim_jax.evaluate.encoders import judgement

    command = shlex.join(["python", "-m", PROGRAM, *arguments])
    with short_commands.options_for_settings(parser):
        task = _task(options, command)
        if judge is not None:
            judge(task)
            return 0
        compilation_cache.keep()
        backend.start()
        with backend.explain_out_of_memory(_OUT_OF_MEMORY):
            judgement.judge(task)
    return 0


def _task(options: argparse.Namespace, command: str):
    from dim_jax.evaluate.encoders import judgement, sources

    settings.Config.settings()["seed"].verify(options.seed)
    if options.batch is not None and options.batch < 1:
        raise contracts.UserError(f"--batch is {options.batch}; set it to 1 or more")
    given = {name: getattr(options, name) for name in _DATA}
    given = {name: value for name, value in given.items() if value is not None}
    fraction = given.pop("test_fraction", settings.Data.settings()["test_fraction"].default)
    settings.Data.settings()["test_fraction"].verify(fraction)
    if options.data is None and given:
        flag = "--" + next(iter(given)).replace("_", "-")
        raise contracts.UserError(f"{flag} is a setting of --data, which is not given")
    data = None if options.data is None else {"name": options.data, **given}
    names = [sources.short_name(options.encoder), options.data or ""]
    name = "-".join(re.sub(r"[^\w.]+", "-", each).strip("-") for each in names if each)
    return judgement.Task(
        encoder=options.encoder,
        untrained=options.untrained,
        data=data,
        test_fraction=fraction,
        evals=chosen.read(options.evals),
        seed=options.seed,
        batch=options.batch,
        workdir=os.path.join("runs", name) if options.workdir is None else options.workdir,
        command=command,
    )


def _parser() -> short_commands.Parser:
    parser = short_commands.Parser(
        prog=f"python -m {PROGRAM}",
        description="Evaluate any encoder beside controls, as a run evaluates its own.",
        epilog="Exit codes: 0 done, 2 a mistake, which the printed sentence explains, 130 Ctrl-C; "
        "the same command continues after an interruption.",
    )
    add = parser.add_argument
    add(
        "--encoder",
        required=True,
        metavar="ENCODER",
        help="a function package.module:function or file.py:function of images u8[n,h,w,c] that "
        "returns features f[n,d] or {tap: f[n,...]}; or a run folder or an exported encoder; or "
        "files of features train.npz,test.npz, or one, of which a part is held out",
    )
    add("--evals", required=True, help="names, as linear,knn,svm; or JSON, or a JSON file")
    add("--data", metavar="NAME", help="the images: a data.name such as cifar10 or folder:PATH")
    add("--untrained", metavar="ENCODER", help="the same network at random parameters, a control")
    add("--workdir", metavar="DIR", help="the folder of the results (default: below runs/)")
    add("--seed", type=int, default=0, help="of label subsets and of fits (%(default)s)")
    add("--batch", type=int, help="images that are encoded together (default 128)")
    group = parser.add_argument_group("settings of --data")
    for name in _DATA:
        each = settings.Data.settings()[name]
        text = each.help.replace("`", "").replace("%", "%%")
        group.add_argument(f"--{name.replace('_', '-')}", type=each.kind, help=text)
    return parser
