"""Random commands that look valid end with a documented exit code and one sentence.

    python tests/fuzz.py [SEED ...] [--count=200] [--jobs=1] [--show]

Each seed is a command of `fuzz_cases`, and runs in a process of its own. The command passes if it
ends with 0 or 75 (stopped and saved), or with 2 and one line on stderr; if no traceback is printed;
and if the files of the user are what they were. Ends with exit status 1 if one did not.
"""

import argparse
import collections
import contextlib
import hashlib
import importlib
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.0"

import fuzz_cases  # noqa: E402

from dim_jax import build, main  # noqa: E402
from dim_jax.encoder import command  # noqa: E402
from dim_jax.evaluate import discovery  # noqa: E402

# Forked processes share what is imported here; none of it starts a thread or a device.
SHARED = """
    orbax.checkpoint sklearn.manifold tensorboardX dim_jax.command dim_jax.experiment
    dim_jax.data.digits dim_jax.data.folder dim_jax.data.roads dim_jax.data.shortcut
    dim_jax.methods.autoencoders dim_jax.methods.dim dim_jax.methods.nat dim_jax.methods.probe
    dim_jax.methods.supervised
"""
SECONDS = 120
LONGEST = 600  # characters of a message: a path of 100 may be in it twice


class Ended(NamedTuple):
    """A command that ended: exit code (-n: by signal n), what it printed, and seconds."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def import_shared() -> None:
    """Imports what most commands import."""
    for name in SHARED.split():
        importlib.import_module(name)
    discovery.names()
    for role in build.ROLES:
        build.names(role)


def run(program: str, arguments: Sequence[str], folder: pathlib.Path) -> Ended:
    """Runs a command in a forked process."""
    began = time.monotonic()
    sys.stdout.flush()  # or the process inherits what is not yet written
    process = os.fork()
    if process == 0:
        _run_here(program, arguments, folder)
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() - began > SECONDS:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    stdout, stderr = ((folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    code = os.waitstatus_to_exitcode(ended[1])
    return Ended(code, stdout, stderr, time.monotonic() - began)


def _run_here(program: str, arguments: Sequence[str], folder: pathlib.Path):
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), descriptor)
    code = 1
    try:
        is_main = program == "main"
        code = main.main(["dim-jax", *arguments]) if is_main else command.main(arguments)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fault(ended: Ended, before: dict[str, str], after: dict[str, str]) -> str | None:
    """What is wrong with the end of a command; None for nothing."""
    changed = [path for path in before if after.get(path) != before[path]]
    lines = ended.stderr.strip().splitlines()
    if changed:
        return f"it changed {changed[0]}"
    if ended.code not in (0, 2, 75):
        return f"exit code {ended.code}" + (" (too slow)" if ended.seconds > SECONDS else "")
    if "Traceback" in ended.stderr + ended.stdout:
        return "a traceback"
    if len(lines) != (0 if ended.code == 0 else 1):
        return f"{len(lines)} lines on stderr"
    if lines and (len(lines[0]) > LONGEST or not lines[0].startswith(("dim_jax: ", "error: "))):
        return "no sentence"
    return None


def contents(paths: Sequence[pathlib.Path]) -> dict[str, str]:
    """{path: digest of the content} of files, and of all files below folders."""
    files = [file for path in paths for file in ([path, *path.rglob("*")])]
    return {
        os.fsdecode(file): hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        for file in files
    }


@contextlib.contextmanager
def prepared_runs() -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Run folders that cases copy: a finished one and a stopped one."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(folder, "xla"))
        base = pathlib.Path(folder)
        for name, more in (("finished", ()), ("stopped", (fuzz_cases.SHORT,))):
            ended = run("main", (*fuzz_cases.run_arguments(base / name), *more), base)
            if ended.code != (75 if more else 0):
                raise RuntimeError(f"the run to damage ended with {ended}")
        yield base / "finished", base / "stopped"


def examine(seed: int, runs: tuple[pathlib.Path, ...]) -> tuple[int, fuzz_cases.Case, Ended, str]:
    """Runs the case of a seed: (seed, case, end, fault or "")."""
    with tempfile.TemporaryDirectory() as folder:
        case = fuzz_cases.draw(seed, pathlib.Path(folder), runs)
        before = contents(case.users)
        ended = run(case.program, case.arguments, pathlib.Path(folder))
        return seed, case, ended, fault(ended, before, contents(case.users)) or ""


def show(seed: int, case: fuzz_cases.Case, ended: Ended, wrong: str) -> None:
    """Prints a case and its end."""
    print(f"\nseed {seed}, {case.kind}: {wrong or 'as it should'}; {ended.seconds:.1f} s")
    print(f"  {case.program} {' '.join(case.arguments)}\n  exit code {ended.code}")
    print("  " + "\n  ".join((ended.stderr.strip() or ended.stdout.strip()).splitlines()[-12:]))


def main_(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="*")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="also those that pass")
    options = parser.parse_args(arguments)
    seeds = options.seeds or range(options.count)
    import_shared()
    codes, wrong = collections.Counter(), 0
    with prepared_runs() as runs, futures.ProcessPoolExecutor(options.jobs) as pool:
        for one in pool.map(examine, seeds, [runs] * len(seeds)):
            codes[one[2].code] += 1
            wrong += bool(one[3])
            if one[3] or options.show or options.seeds:
                show(*one)
                sys.stdout.flush()
    print(f"\n{len(seeds)} commands: {wrong} not as they should; exit codes {dict(codes)}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main_())
