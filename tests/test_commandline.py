"""The command line: what it resolves, and one sentence for each mistake."""

import subprocess
import sys

import pytest

from dim_jax import commandline, contracts

CONFIG = "configs/dim_cifar10.py"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    # ml_collections runs every config file in this one module.
    sys.modules.pop("config_config", None)


def parse(*arguments: str) -> commandline.Command:
    return commandline.parse(["main.py", *arguments])


def test_words_and_overrides():
    command = parse(
        f"--config={CONFIG}:local,bound=jsd,budget=cpu",
        "--config.train.batch_size=32",
        "--config.data.image_size=32",
        "--config.train.epochs=3",
    )
    assert command.config["train"]["batch_size"] == 32
    assert command.config["train"]["epochs"] == 3.0
    assert command.config["data"]["image_size"] == 32
    assert command.config["method"]["method"]["bound"] == {"name": "jensen_shannon"}
    assert command.workdir == "runs/dim_cifar10-local-bound=jsd-budget=cpu"
    assert command.source == f"{CONFIG}:local,bound=jsd,budget=cpu"


def test_none_unsets_a_setting():
    config = parse("--config=configs/quickstart.py", "--config.data.image_size=None").config
    assert config["data"]["image_size"] is None
    config = parse("--config=configs/quickstart.py", "--config.augment.jitter=None").config
    assert config["augment"]["jitter"] is None


def test_workdir_and_two_word_form():
    command = parse("--config", CONFIG, "--workdir", "here")
    assert command.workdir == "here"
    assert command.config["train"]["epochs"] == 1000


def test_evaluations_replace_those_of_the_config(tmp_path):
    text = '{"mlp": {"name": "mlp", "taps": ["fc", "y"]}, "few": {"name": "knn", "subsets": 2}}'
    (tmp_path / "evals.json").write_text(f"\n{text}\n")
    evals = {"mlp": dict(name="mlp", taps=("fc", "y")), "few": dict(name="knn", subsets=2)}
    for value in (text, f"{tmp_path}/evals.json"):
        for arguments in ([f"--evals={value}"], ["--evals", value]):
            for order in ([f"--config={CONFIG}", *arguments], [*arguments, f"--config={CONFIG}"]):
                command = parse(*order)
                assert command.config["evals"] == evals
    command = parse(f"--config={CONFIG}", "--config.evals.mlp.taps=('y',)", f"--evals={text}")
    assert command.config["evals"]["mlp"]["taps"] == ("y",)
    assert command.workdir == "runs/dim_cifar10"
    assert parse(f"--config={CONFIG}", "--evals={}").config["evals"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --config given"),
        (["--config"], "no --config given"),
        (["--config=configs/none.py"], "the config file 'configs/none.py' does not exist"),
        (["--config=configs/common/__init__.py"], "defines no function get_config()"),
        ([f"--config={CONFIG}:lokal"], "unknown config argument 'lokal': did you mean 'local'"),
        ([f"--config={CONFIG}:bound=nce"], "did you mean 'infonce'"),
        ([f"--config={CONFIG}", "--config.train.epoch=3"], "no key 'epoch'; Did you mean 'epochs'"),
        ([f"--config={CONFIG}", "--config.trian.epochs=3"], "no key 'trian'; Did you mean 'train'"),
        ([f"--config={CONFIG}", "--config.train.batch_size=big"], "batch_size=big"),
        ([f"--config={CONFIG}", "--workdr=x"], "Unknown command line flag 'workdr'"),
        ([f"--config={CONFIG}", "more"], "unknown argument 'more'"),
        ([f"--config={CONFIG}", '--evals={"mlp":'], '--evals={"mlp": is no valid JSON'),
        ([f"--config={CONFIG}", "--evals=no.json"], "neither a JSON object nor a file"),
        ([f"--config={CONFIG}", "--evals"], "neither a JSON object nor a file"),
        ([f"--config={CONFIG}", '--evals={"mlp":\n{}}'], "must be an object {key:"),
        ([f"--config={CONFIG}", '--evals={"mlp": 3}'], "must be an object {key:"),
        ([f"--config={CONFIG}", "--evals=CONTRIBUTING.md"], "is no valid JSON"),
        (
            [f"--config={CONFIG}", '--evals={"a": {"name": "mlp"}}', "--config.evals.b.taps=()"],
            "no key 'b'",
        ),
    ],
)
def test_mistakes_are_one_sentence(arguments, message):
    with pytest.raises(contracts.UserError) as error:
        parse(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_program_prints_the_sentence_and_exits_with_2():
    done = subprocess.run(
        [sys.executable, "-m", "dim_jax.main", f"--config={CONFIG}", "--config.train.epoch=3"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dim_jax: the config has no key 'epoch'")
    assert "Traceback" not in done.stderr
