"""Runs of several processes: discovery, initialisation, agreement between processes, and shutdown.

JAX starts them through `jax.distributed.initialize`, whose coordinator runs in process 0. Agreement
of host code (is this run finished, may we start, did the evaluation end) uses the coordinator's
key-value store and not the devices: some backends abort a collective that waits for an hour, a key
can wait.

With one process every function here returns immediately.
"""

import contextlib
import glob
import importlib.util
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dim_jax import contracts

# EX_TEMPFAIL of sysexits.h: the same command continues.
LOST = 75
# A process without a heartbeat for this time is lost. JAX's 100 s are too long for a paid cluster.
HEARTBEAT_SECONDS = 30
_GRACE_SECONDS = 3  # the coordinator waits for this time before it exits, for the others' reads
_POLL_SECONDS = 5  # Python handles Ctrl-C between two polls
_FLAGS = ("coordinator", "processes", "process")
_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# Words in the error of a collective when the process at its other end is gone.
_SIGNS = (
    "gloo",
    "nccl",
    "connection",
    "socket",
    "unavailable",
    "heartbeat",
    "preempted",
    "barrier",
)


class Options(NamedTuple):
    """The flags: mode "auto", "on" or "off", and the addresses, None if not given."""

    mode: str = "auto"
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    join_seconds: int = 300


class Job(NamedTuple):
    """The processes of one run; JAX detects fields that are None from the cluster's environment.

    `optional`: if JAX detects no cluster, this is a run of one process.
    """

    coordinator: str | None
    processes: int | None
    process: int | None
    join_seconds: int
    optional: bool = False


class Ended(Exception):
    """This process ends because another one was lost, or because the first one failed."""

    def __init__(self, message: str, exit_code: int = LOST):
        super().__init__(message)
        self.exit_code = exit_code


def find(options: Options, environment: Mapping[str, str] = os.environ) -> Job | None:
    """The job that this process belongs to, None for a run of one process.

    Flags take precedence over JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, and
    these over a Slurm step, an Open MPI job or TPU hosts, whose addresses JAX detects.

    Raises:
      UserError: addresses that are incomplete or contradict each other.
    """
    given = [getattr(options, name) for name in _FLAGS]
    if options.mode == "off":
        if any(value is not None for value in given):
            raise contracts.UserError(
                "--distributed=off contradicts --coordinator, --processes and --process; "
                "omit either it or them"
            )
        return None
    if all(value is None for value in given):
        given = [environment.get(name) for name in _VARIABLES]
        in_cluster = _is_in_cluster(environment) if None in given else False
        if in_cluster is not False:  # JAX itself reads a coordinator that is given alone
            optional = in_cluster is None and options.mode == "auto"
            return Job(None, None, None, options.join_seconds, optional)
        if all(value is None for value in given):
            return Job(None, None, None, options.join_seconds) if options.mode == "on" else None
    job = Job(*_parse_addresses(*given), options.join_seconds)
    return job if job.processes > 1 or options.mode == "on" else None


def _parse_addresses(coordinator, processes, process) -> tuple[str, int, int]:
    names = [f"--{name} ({variable})" for name, variable in zip(_FLAGS, _VARIABLES, strict=True)]
    given = (coordinator, processes, process)
    if missing := [name for name, value in zip(names, given, strict=True) if value is None]:
        raise contracts.UserError(
            f"a run of several processes needs {', '.join(names)}: there is no {missing[0]}; give "
            "it, or --distributed=off for a run of one process"
        )
    host, _, port = str(coordinator).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise contracts.UserError(
            f"the coordinator is '{coordinator}'; write HOST:PORT, the machine of process 0 and a "
            "free port on it"
        )
    try:
        processes, process = int(processes), int(process)
    except ValueError:
        raise contracts.UserError(
            f"processes is '{processes}' and process is '{process}'; both are whole numbers"
        ) from None
    if processes < 1 or not 0 <= process < processes:
        raise contracts.UserError(
            f"process {process} of {processes} processes does not exist; number them from 0 to "
            f"{max(processes, 1) - 1}"
        )
    return coordinator, processes, process


def _is_in_cluster(environment: Mapping[str, str]) -> bool | None:
    """Whether a cluster that JAX supports started several processes; None if only JAX can tell."""
    # The variables of a step, not of the allocation: without srun it runs a single process.
    if "SLURM_STEP_NODELIST" in environment and "SLURM_PROCID" in environment:
        return int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    if "OMPI_MCA_orte_hnp_uri" in environment:
        return int(environment.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
    return _has_tpu(environment)


def _has_tpu(environment: Mapping[str, str]) -> bool | None:
    """Whether the local TPU has several hosts; None if only the cloud's metadata can tell."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if (platforms and "tpu" not in platforms) or importlib.util.find_spec("libtpu") is None:
        return False
    if not glob.glob("/dev/accel*") and not glob.glob("/dev/vfio/[0-9]*"):
        return False
    hosts = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES"))
    if hosts is not None:
        return "," in hosts or int(environment.get("MEGASCALE_NUM_SLICES", "1")) > 1
    return False if "TPU_SKIP_MDS_QUERY" in environment else None


def start(job: Job) -> None:
    """Joins the processes of the job; call it before JAX's devices are started.

    Raises:
      UserError: JAX detects no cluster, or the coordinator's port is in use.
    """
    if job.process == 0:
        _check_free(job.coordinator)
    # JAX's handler of SIGTERM would swallow the signal while the training loop has no handler.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            job.coordinator,
            job.processes,
            job.process,
            # With given addresses, this process uses all devices that it sees.
            cluster_detection_method="deactivate" if job.coordinator else None,
            initialization_timeout=job.join_seconds,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError, OSError) as error:
        if job.optional:
            return
        raise contracts.UserError(
            f"the processes could not meet: {_first_line(error)}; give --coordinator=HOST:PORT, "
            "--processes=N and --process=I, or --distributed=off for one process"
        ) from error


def _check_free(coordinator: str) -> None:
    # The coordinator would share the port with another listener, and mix up two runs.
    port = int(coordinator.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise contracts.UserError(
                f"port {port} of the coordinator {coordinator} cannot be used ({error.strerror}); "
                "end the run that uses it, or give --coordinator another port"
            ) from error


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def end() -> None:
    """Waits for all processes and shuts them down together."""
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()


def abandon(code: int) -> NoReturn:
    """Exits immediately with a code: after an error the other processes join no shutdown."""
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():  # the others end with the coordinator
        time.sleep(_GRACE_SECONDS)
    os._exit(code)


@contextlib.contextmanager
def together() -> Iterator[dict[str, Any]]:
    """A context manager for a part of the run that succeeds or fails in all processes.

    Yields a dict for facts (name: JSON value) that have to be the same in all processes.

    Raises:
      UserError: that of the block; in processes whose block succeeded, that of another process; or
        two processes differ in a fact.
    """
    facts: dict[str, Any] = {}
    if jax.process_count() == 1:
        yield facts
        return
    try:
        yield facts
    except contracts.UserError as error:
        _exchange({"error": str(error)})
        raise
    for process, other in enumerate(_exchange({"facts": facts})):
        if "error" in other:
            raise contracts.UserError(f"process {process}: {other['error']}")
        for name, value in json.loads(json.dumps(facts)).items():
            if other["facts"].get(name) != value:
                raise contracts.UserError(
                    f"{name} of process {process} is {other['facts'].get(name)} and that of "
                    f"process {jax.process_index()} is {value}; start all with the same command "
                    "and the same data"
                )


def wait_for_all() -> None:
    """A barrier: returns when all processes have called it."""
    with together():
        pass


def of_first(value: Any) -> Any:
    """The first process's value (JSON) in all processes, which wait for it without a limit."""
    if jax.process_count() == 1:
        return value
    key = f"dim_jax/first/{next(_calls)}"
    if is_first():
        _client().key_value_set(key, json.dumps(value))
        return value
    return json.loads(_read(key))


@contextlib.contextmanager
def first_alone() -> Iterator[bool]:
    """A context manager for work of the first process, for which the others wait without a limit.

    Yields whether this is the first process.

    Raises:
      Ended: in the others, with the exit code of the first process's exception.
    """
    if jax.process_count() == 1:
        yield True
        return
    if not is_first():
        yield False
        if failure := of_first(None):
            raise Ended(*failure)
        return
    failure = None
    try:
        yield True
    except BaseException as error:
        code = 2 if isinstance(error, contracts.UserError) else 1
        failure = f"process 0: {error}", getattr(error, "exit_code", code)
        raise
    finally:
        of_first(failure)


class Vote:
    """The maximum of a number over all processes, with a delay of one call.

    Every call contributes this process's number and returns the maximum of the previous call, so
    that it never waits for running device work. All processes get the same results.
    """

    def __init__(self, mesh: jax.sharding.Mesh):
        self._sharded = NamedSharding(mesh, PartitionSpec("data"))
        replicated = NamedSharding(mesh, PartitionSpec())
        self._largest = jax.jit(lambda numbers: numbers.max(), out_shardings=replicated)
        self._before = None

    def __call__(self, number: int) -> int:
        if jax.process_count() == 1:
            return number
        mine = np.full(1, number, np.int32)
        numbers = jax.make_array_from_callback(
            (self._sharded.mesh.size,), self._sharded, lambda _: mine
        )
        before, self._before = self._before, self._largest(numbers)
        return 0 if before is None else int(before)


def lost(error: BaseException | None) -> Ended | None:
    """The loss of another process if it caused this error, else None."""
    while error is not None and jax.process_count() > 1:
        text = str(error).lower()
        if isinstance(error, jax.errors.JaxRuntimeError) and any(sign in text for sign in _SIGNS):
            only = jax.process_count() == 2
            other = f"process {1 - jax.process_index()}" if only else "another process"
            return Ended(f"{other} of this run was lost ({_first_line(error)})")
        error = error.__cause__ or error.__context__
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


_calls = itertools.count()  # every process makes the same calls in the same order


def _exchange(mine: dict[str, Any]) -> list[dict[str, Any]]:
    """The values of all processes, in their order."""
    prefix = f"dim_jax/together/{next(_calls)}"
    _client().key_value_set(f"{prefix}/{jax.process_index()}", json.dumps(mine))
    return [json.loads(_read(f"{prefix}/{process}")) for process in range(jax.process_count())]


def _read(key: str) -> str:
    while True:
        try:
            return _client().blocking_key_value_get(key, 1000 * _POLL_SECONDS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def _client() -> Any:
    # JAX has no public name for it; orbax uses this one too.
    from jax._src import distributed

    return distributed.global_state.client
