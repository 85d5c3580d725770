"""Which processes a run has, from flags and environments; what their last words mean."""

import importlib.util
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys

import jax
import pytest

from dim_jax import commandline, contracts
from dim_jax.processes import distributed, supervisor
from dim_jax.training import train_step

ADDRESS = dict(coordinator="localhost:1234", processes=2, process=1)
SLURM = dict(SLURM_STEP_NODELIST="node[01-02]", SLURM_PROCID="1", SLURM_NTASKS="4")


def find(environment=(), **flags):
    return distributed.find(distributed.Options(**flags), dict(environment))


def job(*address, optional=False):
    return distributed.Job(*address, 300, optional)


def test_one_process_where_nothing_says_otherwise():
    assert find() is None
    assert find(mode="off") is None
    assert find(**ADDRESS | dict(processes=1, process=0)) is None
    assert find(JAX_VARIABLES, mode="off") is None


JAX_VARIABLES = dict(JAX_COORDINATOR_ADDRESS="head:99", JAX_NUM_PROCESSES="8", JAX_PROCESS_ID="7")


def test_addresses_by_flags_before_those_of_the_environment():
    assert find(**ADDRESS) == job("localhost:1234", 2, 1)
    assert find(JAX_VARIABLES) == job("head:99", 8, 7)
    assert find(JAX_VARIABLES, **ADDRESS) == job("localhost:1234", 2, 1)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        (SLURM | dict(SLURM_STEP_NUM_TASKS="4"), True),
        (SLURM | dict(SLURM_STEP_NUM_TASKS="1"), False),
        # A script of sbatch, or python without srun: one process in an allocation of four.
        (dict(SLURM_NTASKS="4", SLURM_PROCID="0", SLURM_LOCALID="0"), False),
        (dict(OMPI_MCA_orte_hnp_uri="1.0;tcp://10.0.0.1:9", OMPI_COMM_WORLD_SIZE="2"), True),
        (dict(OMPI_MCA_orte_hnp_uri="1.0;tcp://10.0.0.1:9", OMPI_COMM_WORLD_SIZE="1"), False),
    ],
)
def test_clusters(environment, several):
    assert find(environment) == (job(None, None, None) if several else None)
    assert find(environment, mode="off") is None
    assert find(environment, mode="on") == job(None, None, None)
    assert find(environment, **ADDRESS) == job("localhost:1234", 2, 1)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (dict(TPU_WORKER_HOSTNAMES="host-0,host-1"), job(None, None, None)),
        (dict(TPU_WORKER_HOSTNAMES="localhost"), None),
        (dict(TPU_WORKER_HOSTNAMES="host-0", MEGASCALE_NUM_SLICES="2"), job(None, None, None)),
        (dict(TPU_SKIP_MDS_QUERY="1"), None),
        ({}, job(None, None, None, optional=True)),  # a TPU VM: the cloud's metadata know
        (dict(JAX_PLATFORMS="cpu"), None),
    ],
)
def test_tpu_hosts(environment, found, monkeypatch):
    """Read from the environment alone; the machine is a pretended one."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(distributed.glob, "glob", lambda pattern: ["/dev/accel0"])
    assert find(environment) == found


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (dict(coordinator="localhost:1"), "there is no --processes (JAX_NUM_PROCESSES)"),
        (dict(processes=2, process=0), "there is no --coordinator (JAX_COORDINATOR_ADDRESS)"),
        (ADDRESS | dict(process=2), "process 2 of 2 processes does not exist; number them from 0"),
        (ADDRESS | dict(process=-1), "process -1 of 2 processes does not exist"),
        (ADDRESS | dict(processes=0), "process 1 of 0 processes does not exist"),
        (ADDRESS | dict(coordinator="localhost"), "write HOST:PORT"),
        (ADDRESS | dict(coordinator="localhost:99999"), "write HOST:PORT"),
        (ADDRESS | dict(mode="off"), "--distributed=off contradicts"),
    ],
)
def test_mistakes(flags, message):
    with pytest.raises(contracts.UserError) as error:
        find(**flags)
    assert message in str(error.value)


def test_mistakes_in_the_environment():
    with pytest.raises(contracts.UserError, match="whole numbers"):
        find(JAX_VARIABLES | dict(JAX_PROCESS_ID="one"))
    with pytest.raises(contracts.UserError, match=r"there is no --process \(JAX_PROCESS_ID\)"):
        find({name: JAX_VARIABLES[name] for name in list(JAX_VARIABLES)[:2]})


def test_flags_of_the_command_line(pytestconfig, monkeypatch):
    monkeypatch.chdir(pytestconfig.rootpath)
    command = ["main.py", "--config=configs/quickstart.py:smoke"]
    assert commandline.parse(command).distributed == distributed.Options()
    more = ["--distributed=on", "--coordinator=a:1", "--processes=3", "--process=2"]
    assert commandline.parse([*command, *more, "--join_seconds=9"]).distributed == (
        distributed.Options("on", "a:1", 3, 2, 9)
    )
    with pytest.raises(contracts.UserError, match="distributed"):
        commandline.parse([*command, "--distributed=maybe"])


def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        taken = f"localhost:{other.getsockname()[1]}"
        with pytest.raises(contracts.UserError, match="Address already in use"):
            distributed.start(job(taken, 2, 0))
    assert not jax.distributed.is_initialized()


def test_one_process_decides_alone():
    with distributed.together() as facts:
        facts["seed"] = 1
    assert distributed.of_first([1, 2]) == [1, 2]
    with distributed.first_alone() as is_first:
        assert is_first
    vote = distributed.Vote(train_step.mesh())
    assert [vote(0), vote(15)] == [0, 15]
    assert distributed.lost(RuntimeError("gloo: connection closed")) is None
    distributed.end()


HEARTBEATS = """\
E1125 09:31:23.858659    4568 coordination_service.cc:1549] [1] Use error polling to propagate: \
UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
3
The tasks have crashed. Check the task logs for an earlier error.
F1125 09:31:23.859209    4587 client.h:80] Terminating process because the JAX distributed \
service detected fatal errors.
*** Check failure stack trace: ***
    @     0x7fcb42840634  absl::log_internal::LogMessage::SendToLog()
"""
LEADER = """\
F1125 09:31:09.976350    4460 client.h:80] Terminating process because the JAX distributed \
service detected fatal errors. UNAVAILABLE: Failed to send RPC to coordination service.
"""
NOBODY = """\
F1125 09:31:09.976350    4460 client.h:80] Terminating process because the JAX distributed \
service detected fatal errors. DEADLINE_EXCEEDED
RPC: /xla.coordination.CoordinationService/RegisterTask
"""
OTHER = """\
F1125 09:31:09.976350    4460 client.h:80] out of memory
*** Check failure stack trace: ***
"""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (HEARTBEATS, "dim_jax: process 3 of this run was lost (no heartbeats); the same command"),
        (LEADER, "dim_jax: process 0 of this run, the coordinator, was lost; the same command"),
        (NOBODY, "could not meet within 300 s: no coordinator answers at localhost:1234"),
        (LEADER.replace("F1125", "E1125", 1) + "dim_jax: process 1 was lost\n", "process 1 was"),
        (OTHER, OTHER),
    ],
)
def test_the_last_words_of_a_process(words, sentence, capsys):
    shown = io.StringIO()
    before = ["a warning\n", "50 %\r", "[Gloo] Rank 0 is connected to 3 peer ranks. Expected\n"]
    held = supervisor.relay([*before, *words.splitlines(keepends=True)], shown)
    assert shown.getvalue() == "a warning\n50 %\r" and "".join(held) == words
    aborted = 128 + signal.SIGABRT
    code = supervisor.conclude(
        aborted, words, job("localhost:1234", 2, 1), lambda: "; the same command starts again"
    )
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == (words.count("\n") if words == OTHER else 1)
    assert code == {NOBODY: 2, OTHER: aborted}.get(words, distributed.LOST)


def test_a_coordinator_that_does_not_answer(pytestconfig, tmp_path):
    with socket.socket() as reserved:  # bound, so that nobody else listens there
        reserved.bind(("localhost", 0))
        address = f"localhost:{reserved.getsockname()[1]}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "dim_jax.main", "--config=configs/quickstart.py:smoke"),
                *(f"--workdir={tmp_path}/run", f"--coordinator={address}"),
                *("--processes=2", "--process=1", "--join_seconds=2"),
            ],
            cwd=pytestconfig.rootpath,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert f"no coordinator answers at {address}" in done.stderr


class Store:
    """The coordinator's keys, for processes that run one after the other."""

    def __init__(self):
        self.keys = {}

    def key_value_set(self, key, value):
        self.keys[key] = value

    def blocking_key_value_get(self, key, milliseconds):
        return self.keys[key]


@pytest.fixture
def as_process(monkeypatch):
    """as_process(i) makes this one process i of two, at the beginning of its calls."""
    store = Store()
    monkeypatch.setattr(distributed, "_client", lambda: store)
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    def become(process):
        monkeypatch.setattr(jax, "process_index", lambda: process)
        monkeypatch.setattr(distributed, "_calls", itertools.count())
        return store

    return become


def test_what_fails_in_one_process_fails_in_the_other(as_process):
    def meet(other, said, error=None, **facts):
        """This process, after the other one has said something."""
        as_process(1 - other).keys[f"dim_jax/together/0/{other}"] = json.dumps(said)
        with distributed.together() as mine:
            mine |= facts
            if error:
                raise error

    meet(0, {"facts": {"seed": 3}}, seed=3)
    with pytest.raises(contracts.UserError, match="seed of process 0 is 3 and that of process 1 i"):
        meet(0, {"facts": {"seed": 3}}, seed=4)
    with pytest.raises(contracts.UserError) as error:
        meet(0, {"facts": {}}, contracts.UserError("no such data"))
    assert str(error.value) == "no such data"
    with pytest.raises(contracts.UserError) as error:
        meet(1, {"error": "no such data"})
    assert str(error.value) == "process 1: no such data"


def test_how_the_first_process_ends_is_how_the_others_end(as_process):
    def work(error=None):
        with distributed.first_alone() as is_first:
            if is_first and error:
                raise error
            return is_first

    as_process(0)
    assert work() is True
    as_process(1)
    assert work() is False
    stopped = RuntimeError("stopped at step 3")
    stopped.exit_code = 143
    ends = {stopped: 143, contracts.UserError("full"): 2, OSError("broken"): 1}
    for error, code in ends.items():
        as_process(0)
        with pytest.raises(type(error)):
            work(error)
        as_process(1)
        with pytest.raises(distributed.Ended, match=f"process 0: {error}") as ended:
            work()
        assert ended.value.exit_code == code


def test_errors_of_lost_processes_are_told_from_others(as_process):
    as_process(0)
    gone = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed\nmore")
    assert str(distributed.lost(gone)) == (
        "process 1 of this run was lost (UNKNOWN: Gloo all-reduce failed: Connection closed)"
    )
    assert distributed.lost(gone).exit_code == distributed.LOST
    saving = ValueError("not saved")
    saving.__cause__ = gone
    assert str(distributed.lost(saving)) == str(distributed.lost(gone))
    assert distributed.lost(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: memory")) is None
