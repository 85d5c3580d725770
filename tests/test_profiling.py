"""One dispatch is recorded, and its table names the operations of the model."""

import gzip
import shutil

import jax
import jax.numpy as jnp
import pytest

from dim_jax import commandline, contracts, profiling


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A profile of the second of three calls, and what was logged."""

    def layer(x, w):
        with jax.named_scope("my_layer"):
            return jnp.tanh(x @ w)

    x = jnp.ones((64, 64))
    program = jax.jit(lambda x, w: jax.lax.scan(lambda x, _: (layer(x, w), 0), x, length=3))
    compiled = program.lower(x, x).compile()
    directory, lines = tmp_path_factory.mktemp("run") / "profile", []
    recorder = profiling.Recorder(directory, lines.append)
    results = [recorder(compiled, x, x, steps=3)[0] for _ in range(3)]
    recorder.close()
    assert all(jnp.array_equal(result, results[0]) for result in results)
    return directory, lines


def test_one_dispatch_is_recorded(recorded):
    directory, lines = recorded
    (line,) = lines
    assert "profile of 3 steps" in line and str(directory) in line


def test_operations_are_those_of_the_model(recorded):
    found = profiling.operations(recorded[0])
    assert any("my_layer" in operation.origin for operation in found), found
    times = [operation.milliseconds for operation in found]
    assert times == sorted(times, reverse=True) and times[-1] >= 0 < times[0]
    assert len({operation.name for operation in found}) == len(found)


def test_the_table_is_printed(recorded, capsys):
    assert profiling.main([str(recorded[0]), "--rows", "5"]) == 0
    assert "my_layer" in capsys.readouterr().out


def test_a_folder_without_profile_is_one_sentence(tmp_path, capsys):
    with pytest.raises(contracts.UserError, match="no profile; give the folder `profile`"):
        profiling.operations(tmp_path)
    assert profiling.main([str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


DAMAGES = {
    "no facts": ("facts.json", None),
    "facts": ("facts.json", b"{}"),
    "no steps": ("facts.json", b'{"steps": "3"}'),
    "no step": ("facts.json", b'{"steps": 0}'),
    "program": ("program.txt", b"\xff"),
    "trace": ("*.trace.json.gz", b"no archive"),
    "empty trace": ("*.trace.json.gz", gzip.compress(b"[]")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_profile_is_one_sentence(recorded, tmp_path, capsys, damage):
    pattern, content = DAMAGES[damage]
    shutil.copytree(recorded[0], tmp_path / "profile")
    (path,) = (tmp_path / "profile").rglob(pattern)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert profiling.main([str(tmp_path / "profile")]) == 2
    error = capsys.readouterr().err
    assert "is incomplete or damaged" in error and error.count("\n") == 1


def test_a_single_dispatch_says_what_to_change(tmp_path):
    lines = []
    recorder = profiling.Recorder(tmp_path, lines.append)
    recorder(jax.jit(jnp.sin).lower(1.0).compile(), jnp.float32(1.0), steps=1)
    recorder.close()
    assert "smaller train.steps_per_dispatch" in lines[0]


def test_the_flag_is_parsed(pytestconfig):
    config = pytestconfig.rootpath / "configs" / "quickstart.py"
    assert commandline.parse(["main.py", f"--config={config}", "--profile"]).profile
    assert not commandline.parse(["main.py", f"--config={config}"]).profile
