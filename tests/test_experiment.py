"""Whole runs by the command line: the run folder, rerunning, users' mistakes, folders of images."""

import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import waiting
from PIL import Image

import dim_jax
from dim_jax import data, main, report
from dim_jax.evaluate.encoders import command
from dim_jax.rundir import lock

LIGHT = ("knn", "uniformity", "filters")  # evaluations that take no time


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)


@pytest.fixture(scope="module")
def light(tmp_path_factory) -> pathlib.Path:
    """A folder of configs: the smoke forms with few evaluations, 8 images per device."""
    folder = tmp_path_factory.mktemp("light") / "configs"
    folder.mkdir()
    for name in ("quickstart", "folder", "dim_cifar10"):
        (folder / f"light_{name}.py").write_text(
            f"from configs import {name}\n\n\n"
            "def get_config():\n"
            f"    config = {name}.get_config('smoke')\n"
            "    for key in list(config.evals):\n"
            f"        if key not in {LIGHT}:\n"
            "            del config.evals[key]\n"
            "    return config\n"
        )
    return folder


def call(light, name, workdir, *more) -> int:
    config = f"--config={light}/light_{name}.py"
    return main.main(["main.py", config, f"--workdir={workdir}", *more])


@pytest.fixture(scope="module")
def finished(light, tmp_path_factory) -> pathlib.Path:
    """The folder of a finished run, made in a process with one device."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dim_jax.main", f"--config={light}/light_quickstart.py"),
            f"--workdir={workdir}",
        ],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        cwd=pathlib.Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (workdir / "console.txt").write_text(done.stdout)
    return workdir


def test_the_run_folder_is_complete(finished):
    for name in ("config.json", "metrics.jsonl", "results.json", "report.html"):
        assert (finished / name).stat().st_size > 0, name
    for name in ("tensorboard", "checkpoints", "encoder", "figures"):
        assert any((finished / name).iterdir()), name
    results = json.loads((finished / "results.json").read_text())
    assert {row["representation"] for row in results["rows"]} == {
        *("trained", "untrained", "pixels", "pca")
    }
    assert {row["protocol"] for row in results["rows"] if row["eval"] == "knn"} == {"knn-v1"}
    assert results["run"]["steps"] == 44 and results["run"]["train_seconds"] > 0
    console = (finished / "console.txt").read_text()
    assert "pca" in console.lower() and "report:" in console
    page = (finished / "report.html").read_text()
    assert "quickstart" in page and "http" + "://" not in page.replace("http://www.w3.org", "")


def test_the_untrained_encoder_is_the_one_before_training(finished):
    rows = json.loads((finished / "results.json").read_text())["rows"]
    values = {
        name: [
            row["value"] for row in rows if (row["representation"], row["eval"]) == (name, "knn")
        ]
        for name in ("trained", "untrained")
    }
    assert len(values["trained"]) == len(values["untrained"]) > 0
    assert values["trained"] != values["untrained"]


def test_the_encoder_of_a_run_is_that_of_the_evaluation(finished):
    encoder = dim_jax.load_encoder(finished)
    images = data.load("digits", image_size=32).splits["test"].images[:8]
    features = encoder.encode(images)
    assert {name: value.shape[1:] for name, value in features.items()} == {
        name: tuple(shape) for name, shape in encoder.card["taps"].items()
    }
    in_floats = encoder.encode(images / np.float32(255))
    np.testing.assert_allclose(features["y"], in_floats["y"], rtol=1e-4, atol=1e-5)


def test_its_encoder_is_judged_as_the_run_did(finished, tmp_path):
    """All rows of the trained encoder and of the controls without weights."""
    evals = '{"knn": {"name": "knn"}, "uniformity": {"name": "prior_fit"}}'
    task = ("--encoder", str(finished), "--data=digits", f"--evals={evals}")
    assert command.run([*task, f"--workdir={tmp_path}/judged"]) == 0
    wanted, found = (
        {
            (row["eval"], row["representation"], row["tap"], row["metric"]): row
            for row in report.read_results(folder / "results.json")["rows"]
            if row["representation"] != "untrained"
        }
        for folder in (finished, tmp_path / "judged")
    )
    assert {name for _, name, _, _ in found} == {"trained", "pixels", "pca"}
    for key, row in found.items():
        value = pytest.approx(wanted[key]["value"], rel=1e-5)  # of other numbers of devices
        assert row == {**wanted[key], "value": value}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> str:
    """A data set that is no data set of the runs: digits upside down, of another size."""
    digits = data.load("digits").splits
    path = tmp_path_factory.mktemp("arrays") / "down.npz"
    names = {f"{role}_images": split.images[:, ::-1] for role, split in digits.items()}
    np.savez(path, **names, **{f"{role}_labels": split.labels for role, split in digits.items()})
    return f"array:{path}"


@pytest.mark.slow
def test_another_data_set_is_judged_as_by_the_exported_encoder(light, arrays, tmp_path, capsys):
    """By the command for any encoder, which reads images and encoder from their files."""
    other = f"--config.evals.knn_down.data={arrays}"
    assert call(light, "quickstart", tmp_path / "run", other) == 0
    out = capsys.readouterr().out
    assert "evals.knn_down: on " in out and "nearest neighbours, on array:" in out
    task = ("--encoder", f"{tmp_path}/run", f"--data={arrays}", "--evals=knn")
    assert command.run([*task, f"--workdir={tmp_path}/judged"]) == 0
    wanted, found = (
        {
            (row["representation"], row["tap"]): row["value"]
            for row in report.read_results(tmp_path / folder / "results.json")["rows"]
            if row["eval"] == key and row["representation"] != "untrained"
        }
        for folder, key in (("judged", "knn"), ("run", "knn_down"))
    )
    assert found == pytest.approx(wanted, abs=1e-6) and len(found) == 5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("folder:nowhere", "evals.knn_x.data: the folder"),
        ("cifar11", "evals.knn_x.data: "),
        ("digits[", "evals.knn_x.data: "),
    ],
)
def test_another_data_set_is_opened_before_training(light, tmp_path, capsys, value, message):
    run = tmp_path / "run"
    assert call(light, "quickstart", run, f"--config.evals.knn_x.data={value}") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (run / "checkpoints").exists()


def test_a_finished_run_says_so(finished, light, capsys):
    assert call(light, "quickstart", finished) == 0
    out = capsys.readouterr().out
    assert "this run is finished" in out and "report.html" in out


def test_the_workdir_of_another_config_is_refused(finished, light, capsys):
    before = (finished / "config.json").read_text()
    code = call(light, "quickstart", finished, "--config.train.batch_size=32")
    assert code == 2
    message = capsys.readouterr().err
    assert "train.batch_size is 64 there and 32 here" in message
    assert (finished / "config.json").read_text() == before


def judging(light, folder: pathlib.Path, **evals) -> str:
    """The light quick start with these evaluations alone, as an argument of the command."""
    path = folder / "judging.py"
    path.write_text(
        f"import sys\n\nsys.path.append({str(light)!r})\nimport light_quickstart\n\n\n"
        "def get_config():\n"
        "    config = light_quickstart.get_config().unlock()\n"
        f"    config.evals = {evals!r}\n"
        "    return config.lock()\n"
    )
    return f"--config={path}"


LATE = {
    "tap": (dict(name="knn", taps=("yy",)), "the trained representation has no tap 'yy'"),
    "representation": (dict(name="knn", representations=("pac",)), "did you mean 'pca'"),
    "classifier": (dict(name="classifier"), "no classifier of its own"),
}


@pytest.mark.parametrize(
    "mistake", ["tap", *(pytest.param(name, marks=pytest.mark.slow) for name in list(LATE)[1:])]
)
def test_what_cannot_be_evaluated_is_said_before_training(mistake, light, tmp_path, capsys):
    spec, message = LATE[mistake]
    config, workdir = judging(light, tmp_path, one=spec), tmp_path / "run"
    assert main.main(["main.py", config, f"--workdir={workdir}"]) == 2
    assert message in capsys.readouterr().err
    assert not workdir.exists()


def test_a_finished_training_is_evaluated_anew(finished, light, tmp_path, capsys):
    """Evaluations may be others once there are no results; the training stays what it was."""
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    config = judging(light, tmp_path, again=dict(name="knn", protocol="knn-v1", taps=("fc",)))
    command = ["main.py", config, f"--workdir={workdir}"]
    assert main.main(command) == 2
    assert "or remove its results.json to evaluate" in capsys.readouterr().err
    (workdir / "results.json").unlink()
    assert main.main([*command, "--config.train.batch_size=32"]) == 2
    assert "train.batch_size is 64 there and 32 here" in capsys.readouterr().err
    assert main.main(command) == 0
    old, new = (json.loads((path / "results.json").read_text()) for path in (finished, workdir))
    assert {(row["eval"], row["tap"]) for row in new["rows"]} == {
        *(("again", tap) for tap in ("fc", "pixels", "pca"))
    }
    value = {
        name: next(
            row["value"]
            for row in content["rows"]
            if (row["representation"], row["tap"], row["labels"]) == ("trained", "fc", "all")
        )
        for name, content in (("old", old), ("new", new))
    }
    assert value["old"] == value["new"]
    assert (workdir / "metrics.jsonl").read_text() == (finished / "metrics.jsonl").read_text()
    assert "again" in json.loads((workdir / "config.json").read_text())["evals"]


MISTAKES = {
    "method": (["--config.method.method.name=dm"], "did you mean 'dim'"),
    "bound": (["--config.method.method.bound.name=infonse"], "did you mean 'infonce'"),
    "encoder": (["--config.method.method.encoder.name=dcgan30"], "unknown encoder 'dcgan30'"),
    "data set": (["--config.data.name=digit"], "digits"),
    "devices": (["--config.train.batch_size=100"], "batch 100 on 8 devices does not divide"),
    "image size": (["--config.data.image_size=28"], "needs 32x32"),
    "empty folder": (["--config.data.name=folder:{tmp}/empty"], "empty"),
    "no folder": (["--config.data.name=folder:{tmp}/nowhere"], "nowhere"),
    "broken image": (["--config.data.name=folder:{tmp}/broken"], "broken.png"),
    "not on disk": (
        ["--config.data.name=cifar100", "--config.data.data_dir={tmp}/empty"],
        "cifar100",
    ),
    "scaling": (["--config.data.scaling=symetric"], "symmetric"),
    "protocol": (["--config.evals.knn.protocol=knn-v2"], "knn-v1"),
    "epochs": (["--config.train.epochs=0"], "train.epochs"),
    "time limit": (["--config.train.max_minutes=0"], "train.max_minutes is 0"),
    "best": (["--config.train.keep_best=local/nat"], "did you mean 'local/nats'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_in_one_sentence(mistake, light, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "broken" / "good.png")
    (tmp_path / "broken" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    arguments, message = MISTAKES[mistake]
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    workdir = tmp_path / "run"
    assert call(light, "quickstart", workdir, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("dim_jax: ")
    assert len(error.strip().splitlines()) == 1
    assert not workdir.exists()


def write_images(folder: pathlib.Path, classes: tuple[str, ...]) -> None:
    images = data.load("digits").splits["train"].images
    for index in range(40):
        into = folder / (classes[index % len(classes)] if classes else "")
        into.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index, :, :, 0]).resize((70, 90)).save(into / f"{index}.png")


@pytest.mark.slow
@pytest.mark.parametrize("classes", [(), ("cat", "dog")], ids=["flat", "labelled"])
def test_a_folder_of_images(classes, light, tmp_path, capsys):
    write_images(tmp_path / "pictures", classes)
    workdir = tmp_path / "run"
    name = f"--config.data.name=folder:{tmp_path}/pictures"
    assert call(light, "folder", workdir, name) == 0
    out = capsys.readouterr().out
    results = json.loads((workdir / "results.json").read_text())
    accuracies = [row for row in results["rows"] if row["metric"] == "accuracy"]
    assert bool(accuracies) == bool(classes)
    assert sum("has a label, so left out" in line for line in out.splitlines()) == (
        0 if classes else 1
    )
    assert dim_jax.load_encoder(workdir).card["image_shape"] == [64, 64, 3]
    assert ("classes: 2 (cat, dog)" if classes else "classes: none") in out
    shutil.rmtree(tmp_path / "pictures")
    assert call(light, "folder", workdir, name) == 0  # a finished run needs no images


@pytest.mark.slow
def test_a_folder_by_the_encoder_of_its_size(tmp_path, capsys):
    """Crops of 40 of 48 pixels, on the command line; a size that no encoder has is refused."""
    write_images(tmp_path / "pictures", ("cat", "dog"))
    arguments = [
        "--config=configs/folder.py:smoke,encoder=auto",
        f"--workdir={tmp_path}/run",
        f"--config.data.name=folder:{tmp_path}/pictures",
        "--config.augment.crop=40",
        '--evals={"filters": {"name": "filters"}}',
    ]
    assert main.main(["main.py", *arguments, "--config.data.image_size=48"]) == 0
    line = (
        "encoder: auto for 40x40 images: 3 blocks of stride 2, local features 10x10, last map 5x5"
    )
    assert line in capsys.readouterr().out
    loaded = dim_jax.load_encoder(tmp_path / "run")
    assert loaded.card["image_shape"] == [40, 40, 3] and loaded.card["resize"] == 48
    features = loaded.encode(np.zeros((2, 40, 40, 3), np.uint8))
    assert features["conv"].shape[:3] == (2, 5, 5)
    arguments[1], arguments[3] = f"--workdir={tmp_path}/other", "--config.data.image_size=50"
    assert main.main(["main.py", *arguments]) == 2
    error = capsys.readouterr().err
    assert "set data.image_size=48 or 56, or augment.crop=48" in error
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_folder_that_has_changed_is_refused(light, tmp_path, capsys):
    pictures, workdir = tmp_path / "pictures", tmp_path / "run"
    write_images(pictures, ("cat", "dog"))
    arguments = (f"--config.data.name=folder:{pictures}", "--config.train.max_minutes=1e-9")
    assert call(light, "folder", workdir, *arguments) == 75
    Image.new("RGB", (70, 90)).save(pictures / "cat" / "new.png")
    (workdir / "metrics.jsonl").rename(tmp_path / "kept")
    capsys.readouterr()
    assert call(light, "folder", workdir, *arguments) == 2
    error = capsys.readouterr().err
    assert "was begun with other data: cat/new.png was added since" in error
    assert not (workdir / "metrics.jsonl").exists()  # nothing was trained or written
    (pictures / "cat" / "new.png").unlink()
    (workdir / "data.json").unlink()  # as in a folder of an older version
    assert call(light, "folder", workdir, *arguments) == 2
    assert "held out other images of a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_tfds_on_disk_by_one_command_without_tensorflow(light, tfds_dir, tmp_path):
    code = (
        "import sys; from dim_jax import main; code = main.main(sys.argv); "
        "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    arguments = [f"--config={light}/light_dim_cifar10.py", f"--workdir={tmp_path}/run"]
    data_dir = f"--config.data.data_dir={tfds_dir}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, data_dir],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "run" / "results.json").read_text())["run"]
    assert (facts["train_examples"], facts["test_examples"]) == (512, 256)


@pytest.mark.slow
def test_a_signal_saves_and_the_rerun_continues(light, tmp_path):
    command = [
        *(sys.executable, "-m", "dim_jax.main", f"--config={light}/light_quickstart.py"),
        *(f"--workdir={tmp_path}/run", "--config.train.epochs=400"),
    ]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    options = dict(env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command, **options)
    while process.poll() is None and not (tmp_path / "run" / "metrics.jsonl").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    error = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM, error
    assert "saved; run the same command to continue" in error
    step = int(error.split("stopped at step ")[1].split(",")[0])
    assert (tmp_path / "run" / "checkpoints" / str(step)).is_dir()


@pytest.mark.slow
def test_a_signal_ends_an_evaluation_that_waits_and_the_rerun_continues(light, finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    (workdir / "results.json").unlink()
    code = (
        "import dataclasses\n"
        "from dim_jax import main\n"
        "from dim_jax.evaluate.measures import prior_fit as measure\n"
        "waits = lambda frozen, splits, rng, *, taps=(): wait()\n"
        "measure.EVALUATION = dataclasses.replace(measure.EVALUATION, evaluate=waits)\n"
        "sys.exit(main.main())\n"
    )
    arguments = [f"--config={light}/light_quickstart.py", f"--workdir={workdir}"]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    status, error, seconds = waiting.end(code, arguments, env=environment)
    sentence = (
        "stopped in the evaluation; finished parts are kept; run the same command to continue"
    )
    assert (status, error) == (143, f"dim_jax: {sentence}\n")
    assert seconds < 10
    done = subprocess.run(
        [sys.executable, "-m", "dim_jax.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "kept from before" in done.stdout


@pytest.mark.slow
def test_a_run_whose_reader_goes_away_comes_to_its_end(light, tmp_path):
    command = [
        *(sys.executable, "-m", "dim_jax.main", f"--config={light}/light_quickstart.py"),
        f"--workdir={tmp_path}/run",
    ]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "PYTHONIOENCODING": "ascii"}
    options = dict(env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, **options) as process:
        assert process.stdout.readline().startswith("data: digits")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_seed_patches_are_trained_on_and_whole_images_evaluated(light, tmp_path, capsys):
    workdir = tmp_path / "run"
    seeds = ["--config.data.seeds=200", "--config.data.patch=24", "--config.data.context=4"]
    assert call(light, "quickstart", workdir, *seeds) == 2
    assert "set augment.crop to data.patch" in capsys.readouterr().err
    assert call(light, "quickstart", workdir, *seeds, "--config.augment.crop=32") == 0
    out = capsys.readouterr().out
    assert "200 training and 359 test images of 32x32x1" in out
    assert "random 32x32 crops, the complete images in evaluations" in out
    results = json.loads((workdir / "results.json").read_text())
    facts = results["run"]
    assert (facts["train_examples"], facts["test_examples"]) == (200, 359)
    note = "Trained on 200 patches of 24x24 pixels, with 4 pixels around them"
    assert any(line.startswith(note) for line in facts["notes"])
    assert {row["representation"] for row in results["rows"]} >= {"trained", "pixels", "pca"}
    pixels = {row["dim"] for row in results["rows"] if row["tap"] == "pixels"}
    card = dim_jax.load_encoder(workdir).card
    assert card["image_shape"] == [32, 32, 1] and pixels == {32 * 32}


@pytest.mark.slow
def test_a_run_is_float32_where_jax_is_stricter_or_wider(finished, light, tmp_path):
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        assert call(light, "quickstart", tmp_path / "run") == 0
    rows = [
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        for folder in (finished, tmp_path / "run")
    ]
    losses = [{name: row[name] for name in row if name.startswith("loss/")} for row in rows]
    # `finished` has another number of devices, and sums in another order.
    assert losses[0] and losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.slow
def test_a_time_limit_and_the_best_encoder(light, tmp_path, capsys):
    workdir = tmp_path / "run"
    best = "--config.train.keep_best=loss/encoder"
    assert call(light, "quickstart", workdir, best, "--config.train.max_minutes=1e-9") == 75
    error = capsys.readouterr().err
    assert "by train.max_minutes at step 11, saved; run the same command to continue" in error
    assert call(light, "quickstart", workdir, best) == 0
    facts = json.loads((workdir / "results.json").read_text())["run"]
    assert facts["best"] == json.loads((workdir / "checkpoints" / "best.json").read_text())
    assert facts["best"]["step"] in (11, 22, 33, 44)
    for name, step in (("encoder", 44), ("encoder_best", facts["best"]["step"])):
        assert dim_jax.load_encoder(workdir / name).card["steps"] == step
    assert facts["peak_mib"]["host"] >= facts["train_peak_mib"]["host"] > 100
    assert not (workdir / "evaluations").exists()
    assert "Peak memory" in (workdir / "report.html").read_text()


def test_a_folder_in_use_is_refused_before_anything_is_written(light, finished, tmp_path, capsys):
    for workdir in (finished, tmp_path / "new"):
        with lock.Lock(workdir / "lock", pytest.fail) as held:
            held.take()
            assert call(light, "quickstart", workdir) == 2
        error = capsys.readouterr().err
        assert f"{workdir} is in use by process {os.getpid()}" in error
        assert len(error.strip().splitlines()) == 1
    assert [path.name for path in workdir.iterdir()] == ["lock"]


@pytest.mark.slow
def test_a_full_disk_while_training_is_one_sentence(light, tmp_path, monkeypatch, capsys):
    append = report.JsonlWriter.append

    def full_at_33(writer, row):
        if row["step"] == 33:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(writer, row)

    monkeypatch.setattr(report.JsonlWriter, "append", full_at_33)
    workdir = tmp_path / "run"
    save = "--config.train.save_epochs=0.5"
    assert call(light, "quickstart", workdir, save) == 2
    error = capsys.readouterr().err
    assert "the metrics could not be written" in error and "metrics.jsonl" in error
    assert len(error.strip().splitlines()) == 1
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"11", "22"}
