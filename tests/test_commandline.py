"""The command line: what it resolves, and one sentence for each mistake."""

import re
import subprocess
import sys

import config_files
import pytest

from dim_jax import commandline, contracts

CONFIG, QUICK = "configs/dim_cifar10.py", "configs/quickstart.py"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    monkeypatch.setattr(sys, "path", [*sys.path])


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


@pytest.mark.parametrize("name", config_files.NAMES)
def test_a_config_is_resolved_as_its_file_returns_it(name):
    for argument in ("", "smoke"):
        command = parse(f"--config=configs/{name}.py:{argument}")
        assert command.config == config_files.load(name, argument)


@pytest.mark.parametrize(
    "key",
    [
        *("data.image_size", "train.max_minutes", "train.keep_best", "augment.jitter"),
        *("method.method.negatives", "method.method.prior", "evals.knn_few.labels_per_class"),
    ],
)
def test_none_unsets_a_key(key):
    for arguments in ([f"--config.{key}=None"], [f"--config.{key}", "None"]):
        config = parse("--config=configs/quickstart.py", *arguments).config
        for name in key.split("."):
            config = config[name]
        assert config is None


def test_none_drops_an_evaluation():
    arguments = ("--config.evals.knn=None", "--config.evals.mlp.views=3", "--config.evals.svm=None")
    evals = parse("--config=configs/quickstart.py", *arguments[::2]).config["evals"]
    assert not {"knn", "svm"} & evals.keys() and "mlp" in evals


def test_every_evaluation_can_be_made_on_another_data_set():
    arguments = (
        *("--config.evals.svm.data=mnist", "--config.evals.knn_few.data.name=stl10"),
        *("--config.evals.knn_few.data.test_fraction=0.3", "--config.evals.knn_mnist.data=mnist"),
        *("--config.evals.knn_few_again.data.name=mnist", "--config.evals.knn_few_again.subsets=2"),
        "--config.evals.knn_none.data=None",
    )
    usual = parse(f"--config={CONFIG}").config["evals"]
    evals = parse(f"--config={CONFIG}", *arguments).config["evals"]
    assert evals["svm"] == usual["svm"] | {"data": "mnist"} and evals["mlp"] == usual["mlp"]
    assert evals["knn_few"]["data"] == {"name": "stl10", "test_fraction": 0.3}
    assert evals["knn_mnist"] == usual["knn"] | {"data": "mnist"}
    again = dict(subsets=2, data={"name": "mnist"})
    assert evals["knn_few_again"] == usual["knn_few"] | again
    assert evals["knn_none"] == usual["knn"] | {"data": None}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--config.evals.knn.taps=('y',)"], dict(taps=("y",))),
        (["--config.evals.knn.taps", "['y', 'fc']"], dict(taps=("y", "fc"))),
        (["--config.evals.knn.subsets=2", "--config.evals.knn.permuted"], dict(subsets=2)),
        (["--config.evals.knn.permuted=true"], {}),
        (["--config.evals.knn.views=None"], dict(views=None)),
    ],
)
def test_options_that_an_evaluation_of_the_config_does_not_have(arguments, options):
    usual = parse(f"--config={CONFIG}").config["evals"]["knn"]
    if "permuted" in str(arguments):
        options = options | dict(permuted=True)
    assert parse(f"--config={CONFIG}", *arguments).config["evals"]["knn"] == usual | options


def test_options_of_an_evaluation_that_data_adds_in_any_order():
    arguments = ("--config.evals.knn_m.taps=('y',)", "--config.evals.knn_m.data=mnist")
    for each in (arguments, arguments[::-1]):
        added = parse(f"--config={CONFIG}", *each).config["evals"]["knn_m"]
        assert (added["taps"], added["data"]) == (("y",), "mnist")


def test_one_number_and_one_for_each_view_replace_each_other(tmp_path):
    config = ["--config=configs/amdim_cifar10.py:smoke"]
    assert parse(*config, "--config.augment.blur=(1.0, 0.1)").config["augment"]["blur"] == (1, 0.1)
    (tmp_path / "views.py").write_text(
        "from configs import common\nfrom configs.amdim_cifar10 import get_config as former\n\n"
        "def get_config(argument):\n    config = former(argument)\n"
        "    config.augment = common.augment(views=2, blur=(1.0, 0.1))\n    return config\n"
    )
    config = [f"--config={tmp_path / 'views.py'}:smoke"]
    assert parse(*config).config["augment"]["blur"] == (1.0, 0.1)
    assert parse(*config, "--config.augment.blur=1").config["augment"]["blur"] == 1.0
    with pytest.raises(contracts.UserError, match=r"augment.blur is \(1.0, 2.0\); set it to"):
        parse(*config, "--config.augment.blur=(1.0, 2.0)")


def test_the_last_value_of_a_key_counts():
    none, size = "--config.data.image_size=None", "--config.data.image_size=16"
    for arguments, last in (((none, size), 16), ((size, none), None)):
        config = parse("--config=configs/quickstart.py", *arguments).config
        assert config["data"]["image_size"] == last
    arguments = ("--config.augment.flip", "--config.data.image_size=None")
    config = parse("--config=configs/quickstart.py", *arguments).config
    assert config["augment"]["flip"] is True and config["data"]["image_size"] is None
    nested = ("--config.method.method.prior=None", "--config.method.method.prior.name=None")
    assert parse(f"--config={QUICK}", *nested).config["method"]["method"]["prior"] is None


def test_one_player_is_set_and_no_other():
    command = parse(f"--config={QUICK}", "--config.players.encoder.learning_rate=0.5")
    players = command.config["players"]
    assert players["encoder"]["learning_rate"] == 0.5
    assert players["discriminator"]["learning_rate"] == players["probe"]["learning_rate"] == 1e-3


OWN = """
import ml_collections


def get_config():
    adam = dict(name="adam", learning_rate=1, b1=0.9, b2=0.999, every=1)
    players = dict.fromkeys(("encoder", "probe"), dict(adam, schedule=dict(name="constant")))
    return ml_collections.ConfigDict(
        dict(
            data=dict(name="digits"),
            method=dict(name="supervised", negatives=None),
            players=players,
            train=dict(batch_size=64, epochs=1, steps_per_dispatch=5, save_epochs=1.0),
            evals={},
        )
    )
"""


def test_a_config_of_another_project(tmp_path, monkeypatch):
    """It imports nothing of this one, has few keys, and uses one dict twice."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    keys = ("seed=3", "data.image_size=16", "train.epochs=0.5", "augment.flip=True")
    settings = (*keys, "players.encoder.learning_rate=2", "method.negatives=5")
    config = parse("--config=own.py", *(f"--config.{setting}" for setting in settings)).config
    assert (config["seed"], config["data"]["image_size"], config["train"]["epochs"]) == (3, 16, 0.5)
    assert config["augment"]["flip"] and config["augment"]["views"] == 1
    rates = {name: player["learning_rate"] for name, player in config["players"].items()}
    assert rates == dict(encoder=2, probe=1) and config["method"]["negatives"] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the config file 'own.py' defines no function get_config(); see"),
        ("get_config = 3", "defines no function get_config()"),
        ("def get_config(:", "the config file cannot be read: "),
        ("import nothing_there", "'own.py', line 1, raised ModuleNotFoundError: No module named"),
        ("x = 1\n1 / 0", "the config file 'own.py', line 2, raised ZeroDivisionError: division"),
        ("def get_config():\n    return {}['a']", "'own.py', line 2, raised KeyError: 'a'"),
        ("def get_config():\n    raise OSError('a\\nb')", "line 2, raised OSError: a b"),
        ("def get_config():\n    pass", "of the config file 'own.py' returned NoneType; return an"),
        ("def get_config():\n    return 3", "returned int; return an ml_collections.ConfigDict"),
        ("def get_config(words):\n    return {}", "the config file 'own.py' needs words: they"),
        ("def get_config():\n    return {}", "the config has no data; add it"),
        (re.sub(r"train=dict\(.*\)", "train=[3]", OWN), "train is (3,); set it to a block"),
        (OWN.replace('name="digits"', "name=None"), "data.name is None; set it to a string"),
    ],
)
def test_mistakes_in_a_config_file_are_one_sentence(text, message, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(contracts.UserError) as error:
        parse("--config=own.py")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_words_for_a_config_that_takes_none(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(contracts.UserError, match="takes no words, and was given 'cpu'"):
        parse("--config=own.py:cpu")


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
    (tmp_path / "without.py").write_text(OWN.replace("evals={},", ""))
    command = parse(f"--config={tmp_path}/without.py", f"--evals={text}")
    assert command.config["evals"] == evals
    command = parse(f"--config={CONFIG}", "--config.evals.mlp.taps=('y',)", f"--evals={text}")
    assert command.config["evals"]["mlp"]["taps"] == ("y",)
    assert command.workdir == "runs/dim_cifar10"
    assert parse(f"--config={CONFIG}", "--evals={}").config["evals"] == {}
    named = parse(f"--config={CONFIG}", "--evals=knn,linear").config["evals"]
    assert named == {"knn": {"name": "knn"}, "linear": {"name": "linear"}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --config given"),
        (["--config"], "no --config given"),
        (["--config=configs/none.py"], "the config file 'configs/none.py' does not exist"),
        (["--config=configs/common/__init__.py"], "defines no function get_config()"),
        ([f"--config={CONFIG}:lokal"], "unknown config argument 'lokal': did you mean 'local'"),
        ([f"--config={CONFIG}:bound=nce"], "did you mean 'infonce'"),
        (
            [f"--config={CONFIG}", "--config.train.epoch=3"],
            "no key 'train.epoch': did you mean 'ep",
        ),
        ([f"--config={CONFIG}", "--config.train.epoch=None"], "no key 'train.epoch': did you mean"),
        ([f"--config={CONFIG}", "--config.evals.kn=None"], "no key 'evals.kn': did you mean 'knn'"),
        (
            ["--config=configs/moco.py:budget=smoke", "--config.method.queue=128"],
            "no key 'method.queue': did you mean 'method.method.queue'?",
        ),
        ([f"--config={CONFIG}", "--config.trian.epochs=3"], "no key 'trian': did you mean 'train'"),
        ([f"--config={CONFIG}", "--config.seed.x=3"], "no key 'seed.x': seed is 0 and no block"),
        (
            [f"--config={CONFIG}", "--config.train.batch_size=big"],
            "train.batch_size is 'big'; set it to 1 or a larger integer",
        ),
        (
            [f"--config={CONFIG}", "--config.train.epochs=None"],
            "train.epochs is None; set it to mo",
        ),
        (["--config=configs/manifold_stack.py", "--config.published=3"], "published is 3; set it"),
        ([f"--config={CONFIG}", "--config.train=3"], "train is '3'; set it to a block of keys"),
        ([f"--config={CONFIG}", "--config.train=None"], "train is None; set it to a block of keys"),
        (
            [f"--config={CONFIG}", "--config.players.encoder.b1=x"],
            "players.encoder.b1 is 'x'; set it to a value of type float",
        ),
        (
            [f"--config={CONFIG}", "--config.train.epochs"],
            "Missing value for flag --config.train.e",
        ),
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
            "no key 'evals.b'",
        ),
        ([f"--config={CONFIG}", "--config.evals.nn_mnist.data=mnist"], "no key 'evals.nn_mnist'"),
        (
            [f"--config={CONFIG}", "--config.evals.knn.data.names=mnist"],
            "no key 'evals.knn.data.names': did you mean 'name'",
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
    assert done.stderr.startswith("dim_jax: the config has no key 'train.epoch': did")
    assert "Traceback" not in done.stderr
