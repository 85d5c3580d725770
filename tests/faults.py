"""The share of single-line faults that the default tier of the tests notices.

    python tests/faults.py [NAME ...] [--jobs=2]

Applies each fault of `faults_list` to a copy of the repository and runs the test file that should
notice it. A fault is noticed if that run ends with exit status 1 and a failed test. Results go to
tests/faults.json, where those of faults that did not run stay while their texts are unchanged.
Ends with exit status 1 if less than 95 % of the faults were noticed, or if a test file fails
without a fault.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

from faults_list import FAULTS, Fault

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "faults.json"
NEEDED = 0.95
# The default tier: pyproject.toml leaves out tests that are marked slow.
OPTIONS = ("-n", "0", "-x", "-q", "-p", "no:cacheprovider", "--no-header")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", re.MULTILINE)


class Run(NamedTuple):
    """A run of pytest: its exit status, the first failed test, seconds, and what it printed."""

    status: int
    failed: str | None
    seconds: float
    output: str

    @property
    def noticed(self) -> bool:
        """True if a test failed; pytest has other exit statuses for runs that could not start."""
        return self.status == 1 and self.failed is not None


class Copies:
    """Copies of the repository, one for each job."""

    def __init__(self, folder: pathlib.Path, jobs: int):
        self._cache = folder / "xla"
        self._free: queue.SimpleQueue[pathlib.Path] = queue.SimpleQueue()
        for number in range(jobs):
            copy = copied(folder / f"job{number}")
            self._check_import(copy)
            self._free.put(copy)

    def run(self, tests: str, fault: Fault | None = None) -> Run:
        """Runs a test file in a free copy, with a fault in it if one is given."""
        copy = self._free.get()
        try:
            with applied(fault, copy) if fault else contextlib.nullcontext():
                return self._pytest(copy, tests)
        finally:
            self._free.put(copy)

    def _pytest(self, copy: pathlib.Path, tests: str) -> Run:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS, tests],
            cwd=copy,
            env=self._environment(copy),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        seconds = time.monotonic() - began
        failed = FAILED.search(done.stdout)
        return Run(done.returncode, failed and failed[1], seconds, done.stdout)

    def _environment(self, copy: pathlib.Path) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(copy),
            # Bytecode counts as current by size and time in seconds: that of the original could
            # be run in place of the fault, and the reverse.
            "PYTHONDONTWRITEBYTECODE": "1",
            "JAX_COMPILATION_CACHE_DIR": str(self._cache),
        }

    def _check_import(self, copy: pathlib.Path) -> None:
        """Ends the program unless the package is imported from the copy."""
        # Not from within the copy, where Python would find it without PYTHONPATH.
        code = "import importlib.util as u; print(u.find_spec('dim_jax').origin)"
        origin = subprocess.run(
            [sys.executable, "-c", code],
            cwd=copy.parent,
            env=self._environment(copy),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
        if not pathlib.Path(origin).is_relative_to(copy):
            sys.exit(f"dim_jax is imported from {origin} and not from the copy {copy}")


def copied(folder: pathlib.Path) -> pathlib.Path:
    """A copy of the files that git knows, and beside it a link to the folder `shared`, if any."""
    copy = folder.resolve() / "repository"
    for name in filter(None, git("ls-files", "-z").split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    shared = ROOT.parent / "shared"
    if shared.is_dir():
        (copy.parent / "shared").symlink_to(shared)
    return copy


@contextlib.contextmanager
def applied(fault: Fault, copy: pathlib.Path) -> Iterator[None]:
    """The copy with the fault in it, for as long as the context lasts."""
    path = copy / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.line) != 1:
        raise ValueError(f"{fault.name}: {fault.file} has its line {text.count(fault.line)} times")
    path.write_text(text.replace(fault.line, fault.fault), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def git(*arguments: str) -> str:
    """The output of a git command in the repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def check_unchanged(pool: futures.Executor, copies: Copies, faults: Sequence[Fault]) -> None:
    """Ends the program if one of the test files fails without a fault."""
    files = dict.fromkeys(fault.tests for fault in faults)
    runs = {pool.submit(copies.run, tests): tests for tests in files}
    for future in futures.as_completed(runs):
        run, tests = future.result(), runs[future]
        print(f"{'passes' if run.status == 0 else 'fails':11} {run.seconds:6.1f} s  {tests}")
        if run.status:
            pool.shutdown(cancel_futures=True)
            print(run.output)
            sys.exit(f"{tests} fails without a fault: {run.failed or f'status {run.status}'}")


def entry(fault: Fault, run: Run, commit: str) -> dict[str, Any]:
    """The entry of a fault in tests/faults.json."""
    return {
        **dataclasses.asdict(fault),
        "noticed": run.noticed,
        "first_failing_test": run.failed if run.noticed else None,
        "seconds": round(run.seconds, 1),
        "commit": commit,
    }


def kept() -> dict[Fault, dict[str, Any]]:
    """The entries of tests/faults.json whose faults have the same texts today."""
    if not RESULTS.exists():
        return {}
    fields = [field.name for field in dataclasses.fields(Fault)]
    entries = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    known = {Fault(*(one[field] for field in fields)): one for one in entries}
    return {fault: known[fault] for fault in FAULTS if fault in known}


def write(entries: dict[Fault, dict[str, Any]], commit: str) -> None:
    """Writes tests/faults.json, faults in the order of the list."""
    results = [entries[fault] for fault in FAULTS if fault in entries]
    content = {
        "jax": importlib.metadata.version("jax"),
        "python": platform.python_version(),
        "commit": commit,
        "faults": len(results),
        "noticed": sum(one["noticed"] for one in results),
        "results": results,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    RESULTS.write_text(text, encoding="utf-8")


def measure(faults: Sequence[Fault], jobs: int, folder: pathlib.Path) -> int:
    """The number of faults noticed; prints a line for each and writes the results as they come."""
    commit = git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty").strip()
    entries, noticed = kept(), 0
    copies = Copies(folder, jobs)
    with futures.ThreadPoolExecutor(jobs) as pool:
        check_unchanged(pool, copies, faults)
        runs = {pool.submit(copies.run, fault.tests, fault): fault for fault in faults}
        for future in futures.as_completed(runs):
            fault, run = runs[future], future.result()
            noticed += run.noticed
            word = "noticed" if run.noticed else "NOT NOTICED"
            where = run.failed if run.noticed else f"{fault.tests}, exit status {run.status}"
            print(f"{word:11} {run.seconds:6.1f} s  {fault.name}: {where}", flush=True)
            entries[fault] = entry(fault, run, commit)
            write(entries, commit)
    return noticed


def main() -> int:
    """Runs the faults named on the command line, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a fault; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="test files that run at a time")
    options = parser.parse_args()
    if unknown := set(options.names) - {fault.name for fault in FAULTS}:
        parser.error(f"no fault is called {', '.join(sorted(unknown))}")
    faults = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    with tempfile.TemporaryDirectory(prefix="dim_jax_faults_") as folder:
        noticed = measure(faults, options.jobs, pathlib.Path(folder))
    print(f"noticed {noticed} of {len(faults)}")
    return 0 if noticed >= NEEDED * len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
