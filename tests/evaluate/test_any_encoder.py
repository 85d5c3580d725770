"""Functions, exported encoders and files of features under the evaluations and controls of runs."""

import json

import cv2
import jax
import numpy as np
import pytest

from configs import quickstart
from dim_jax import build, contracts, data, report, run_metadata, settings
from dim_jax.evaluate import reference_representations, results_files, suite
from dim_jax.evaluate.encoders import chosen, command, functions
from dim_jax.training import preprocessing

MODULE = """
import numpy as np

def encode(images):
    images //= 1  # in place, which must not reach the data set
    images[0] = images[0]
    return images.reshape(len(images), -1) / np.float32(255)

def maps(images):
    return {"conv": images / 255, "pooled": images.mean(axis=(1, 2))}

def in_training_mode(images):
    rows = images.reshape(len(images), -1) * 1.0
    return (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1)

def damages(images):
    images[:] = 0
    return np.ones((len(images), 2))

class Model:
    def features(self, images):
        return encode(images)

model = Model()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a module of functions; `my_encoders` is unknown elsewhere."""
    (tmp_path / "my_encoders.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "my_encoders", raising=False)
    return tmp_path


def call(*arguments) -> int:
    return command.run([*map(str, arguments)])


def rows_of(workdir) -> dict:
    """{(evaluation, representation, tap): row} of results.json."""
    rows = report.read_results(workdir / "results.json")["rows"]
    return {(row["eval"], row["representation"], row["tap"]): row for row in rows}


def test_a_function_is_judged_beside_its_controls(folder, capsys):
    """Of pixels it has the results of the control with pixels."""
    task = ("--encoder", "my_encoders:encode", "--data", "digits", "--evals", "knn,rank,prior_fit")
    assert call(*task, "--untrained", "my_encoders.py:model.features") == 0
    workdir = folder / "runs" / "my_encoders-encode-digits"
    rows = rows_of(workdir)
    value = rows["knn", "pixels", "pixels"]["value"]
    assert value > 0.9 and rows["knn", "pca", "pca"]["dim"] == 64
    for name in ("trained", "untrained"):
        row = rows["knn", name, "y"]
        assert row["value"] == value and row["protocol"] == "knn-v1" and row["dim"] == 64
    assert rows["rank", "trained", "y"]["metric"].startswith("effective_rank")
    permuted = rows["knn_permuted", "trained", "y"]
    assert permuted["value"] < 0.2 and permuted["labels"] == "all, permuted"
    assert ("knn_permuted", "pixels", "pixels") not in rows
    page = (workdir / "report.html").read_text()
    assert "my_encoders-encode" in page and "on digits" in page and "permuted" in page
    run = json.loads((workdir / "results.json").read_text())["run"]
    assert run["train_examples"] == 1438 and run["versions"]["dim_jax"]
    assert run["notes"] == ["The untrained encoder is my_encoders.py:model.features."]
    out = capsys.readouterr().out
    assert "encoder: my_encoders:encode, y 64" in out and "report: runs/" in out
    assert not (workdir / "evaluations").exists()


def test_an_interrupted_command_continues(folder, capsys, monkeypatch):
    task = ("--encoder", "my_encoders:encode", "--data", "digits", "--evals", "knn")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(results_files, "write", interrupted)
        assert call(*task, "--workdir", folder / "out") == 130
    assert call(*task, "--workdir", folder / "out") == 0
    assert capsys.readouterr().out.count("kept from before") == 4
    other = ("--encoder", "my_encoders:maps", *task[2:], "--workdir", folder / "out")
    assert call(*other) == 2
    assert "encoder is my_encoders:encode there and my_encoders:maps" in capsys.readouterr().err


def export(directory, facts: data.Facts, **block) -> contracts.Frozen:
    """Exports a linear encoder of digits, trained on the images of a block `data`; returns it."""
    spec = {"name": "linear", "features": 4}
    values = quickstart.get_config("smoke").to_dict()
    config = settings.Config.of(values | {"method": {"encoder": spec}, "data": block})
    prepared = preprocessing.Preprocessing((0.4,), (0.3,))
    net = build.make("encoder", spec)
    params, state = jax.jit(net.init)(jax.random.key(3), np.zeros((1, 8, 8, 1), np.float32))

    @jax.jit
    def represent(images):
        return net.apply(params, state, prepared.normalise(images), train=False)[0]

    trained = contracts.Frozen(
        represent,
        params={"encoder": {"encoder": params}},
        state={"encoder": state},
        unreached=("fc", "logits"),
    )
    run = dict.fromkeys(("config", "config_string", "training", "steps", "commit", "versions"))
    run_metadata.export(directory, config, facts, prepared, trained, run)
    return trained


def test_an_exported_encoder_has_the_rows_of_its_run(folder, capsys):
    """By the folder; of taps that the config chooses and its training reached, and of controls."""
    loaded = data.evaluated(data.load("digits"))
    trained = export(folder / "run" / "encoder", loaded.facts, name="digits")
    evals = {"knn": {"name": "knn", "taps": ("y", "fc")}}
    references = {
        "pixels": reference_representations.pixels(),
        "pca": reference_representations.pca(loaded.splits["train"].images, 4),
    }
    wanted, _ = suite.run(
        evals, {"trained": trained, **references}, loaded, jax.random.key(0), lambda line: None
    )
    task = ("--data", "digits", "--evals", json.dumps(evals), "--workdir", folder / "out")
    assert call("--encoder", folder / "run", *task) == 0
    found = rows_of(folder / "out")
    for row in wanted:
        assert found.pop((row["eval"], row["representation"], row["tap"])) == row
    assert {name for _, name, _ in found} == {"untrained"}
    assert (
        found["knn", "untrained", "y"]["value"]
        < rows_of(folder / "out")[("knn", "pixels", "pixels")]["value"]
    )
    run = json.loads((folder / "out" / "results.json").read_text())["run"]
    assert run["parameters"] == {"encoder": 64 * 4 + 4} and run["config"] == "run"
    assert {tap for *_, tap in rows_of(folder / "out")} == {"y", "pixels", "pca"}
    said = "fc: no loss of this method reaches it, so it is not judged."
    assert said in run["notes"] and f"note: {said}" in capsys.readouterr().out
    evals = json.dumps({"knn": {"name": "knn", "taps": ("fc",)}})
    task = ("--data", "digits", "--evals", evals, "--workdir", folder / "none")
    assert call("--encoder", folder / "run", *task) == 2
    assert "read the taps fc, which no loss of the training reached" in capsys.readouterr().err


def test_images_that_the_encoder_was_trained_on_are_counted(folder, capsys):
    digits = data.load("digits")
    for row, (image, label) in enumerate(zip(*digits.splits["train"][:2], strict=True)):
        if row == 40:
            break
        (folder / "pictures" / f"{label % 2}").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "pictures" / f"{label % 2}" / f"{row}.png"), image)
    name = f"folder:{folder / 'pictures'}"
    block = dict(name=name, channels=1, test_fraction=0.25)
    export(folder / "run" / "encoder", digits.facts, **block)

    def shared(fraction) -> tuple[int, int]:
        out = folder / f"out{fraction}"
        task = ("--evals", "knn", "--data", name, "--test-fraction", fraction, "--workdir", out)
        assert call("--encoder", folder / "run", *task) == 0
        run = json.loads((out / "results.json").read_text())["run"]
        return run["test_examples_trained_on"], run["test_examples"]

    assert shared(0.25) == (0, 10)
    assert "trained on" not in capsys.readouterr().out
    assert shared(0.5) == (10, 20)  # the encoder's 10 are held out here too
    text = capsys.readouterr().out
    assert f"note: 10 of the 20 test images of {name} are among those that the encoder was" in text
    assert "10 of the 20 test images are training images" in text


def test_files_have_the_results_of_the_function_that_wrote_them(folder, capsys):
    splits = data.load("digits").splits
    for name, split in splits.items():
        rows = split.images.reshape(-1, 64) / np.float32(255)
        np.savez(folder / f"{name}.npz", features=rows, labels=split.labels)
        np.savez(folder / f"{name}_only.npz", features=rows)
    evals = ("--evals", '{"knn": {"name": "knn"}}')
    task = ("--encoder", f"{folder}/train.npz,{folder}/test.npz", *evals, "--workdir")
    assert call(*task, folder / "alone") == 0
    alone = rows_of(folder / "alone")
    assert [*alone] == [("knn", "trained", "y")]
    task = ("--encoder", f"{folder}/train_only.npz,{folder}/test_only.npz", *evals)
    assert call(*task, "--data", "digits", "--workdir", folder / "with_images") == 0
    rows = rows_of(folder / "with_images")
    values = {row["value"] for name, row in rows.items() if "pca" not in name}
    assert values == {alone["knn", "trained", "y"]["value"]} and len(rows) == 3
    capsys.readouterr()
    assert call(*task, "--workdir", folder / "unlabelled") == 2
    error = capsys.readouterr().err
    assert "none of the 1438 training images has a label, and all evaluations need" in error


def test_a_part_of_one_file_is_held_out(folder):
    labels = np.repeat(["cat", "dog", ""], [40, 40, 3])
    rows = np.random.default_rng(0).normal(size=(83, 5)) + (labels == "cat")[:, None] * 9
    np.savez(folder / "features.npz", features=rows, labels=labels)
    task = ("--encoder", folder / "features.npz", "--evals", '{"knn": {"name": "knn"}}')
    assert call(*task, "--test-fraction", 0.25, "--workdir", folder / "out") == 2  # 1 without label
    np.savez(folder / "features.npz", features=rows[:80], labels=labels[:80])
    assert call(*task, "--test-fraction", 0.25, "--workdir", folder / "out") == 0
    results = report.read_results(folder / "out" / "results.json")
    assert results["run"]["test_examples"] == 20 and results["rows"][0]["value"] == 1
    assert "20 of the 80 images" in results["run"]["notes"][0]


KNN = ("--data", "digits", "--evals", "knn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my_encoders:encode", "--data=digits", "--evals=kn"], "did you mean 'knn'?"),
        (["my_encoders:encode", "--data=digits", "--evals=knn,retrieval"], "needs the method or"),
        (
            ["my_encoders:encode", "--data=digits", "--evals=finetune"],
            "use some of attributes, knn",
        ),
        (["my_encoders:encode", "--data=digits", "--evals=filters"], "there are features alone"),
        (["my_encoders:encode", "--data=digits", "--evals=alignment"], "there are features alone"),
        (
            ["my_encoders:encode", "--data=digits", '--evals={"a": {"name": "knn", "views": 2}}'],
            "evals.a.views needs the method of a run",
        ),
        (
            [
                *("my_encoders:encode", "--data=digits"),
                '--evals={"a": {"name": "linear", "augmentations": 2}}',
            ],
            "evals.a.augmentations needs the method of a run",
        ),
        (["my_encoders:encode", "--data=digits", "--evals={}"], "--evals has no evaluation"),
        (["my_encoders:encode", "--evals=knn"], "which encodes images, and there are none"),
        (["my_encoders:encode", "--evals=knn", "--image-size=8"], "--image-size is a setting of"),
        (["my_encoders:encode", *KNN, "--image-sizes=8"], "did you mean '--image-size'?"),
        (["my_encoders:encode", *KNN, "--seed=-1"], "seed is -1"),
        (["my_encoders:encode", *KNN, "--test-fraction=2"], "--test-fraction is 2"),
        (
            ["my_encoders:encode", "--data=digits", "--bits=9", "--evals=knn"],
            "--bits is 9 and --data is digits",
        ),
        (["my_encoders:encode", *KNN, "--batch=0"], "--batch is 0; set it to 1 or more"),
        (["my_encoders:encode", *KNN, "more"], "unknown argument 'more'"),
        (["my_encoders:encode", *KNN, "--workdir=used"], "holds a.txt and no evaluation.json"),
        (["my_encoders:encode", *KNN, "--untrained=my_encoders:maps"], "gives the features conv"),
        (["my_encoders:missing", *KNN], "my_encoders has no missing: use one of"),
        (["my_encoders:model", *KNN], "is of type Model and no function"),
        (["my_encoders:maps", "--data=digits", "--evals=tsne"], "reads the tap y, and the encoder"),
        (["no_module:encode", *KNN], "there is no module no_module"),
        (["no_file.py:encode", *KNN], "there is no file no_file.py"),
        (["broken.py:encode", *KNN], "broken.py cannot be imported: NameError: name 'x' is not"),
        (["nowhere", *KNN], "there is no such path; give a function"),
        (["network.py", *KNN], "is network.py without a function; give network.py:function"),
        (["a.npz,b.npz", *KNN], "there is no file a.npz"),
        (["a.csv", *KNN], "a.csv is a table"),
        (["my_encoders:in_training_mode", *KNN], "into evaluation mode, such as by model.eval()"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, folder, capsys):
    (folder / "used").mkdir()
    (folder / "used" / "a.txt").touch()
    (folder / "broken.py").write_text("x")
    assert call("--encoder", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "returned None; give f[n,d]"),
        (np.full((4, 2), np.nan), "'y' that are not finite, first those of image 0"),
        (np.full((4, 2), 1e300), "not finite"),
        (np.zeros((3, 2)), "features of shape [3, 2] for 4 images"),
        (np.zeros(4), "such as features[:, None]"),
        (np.zeros(()), "features of shape [] for 4 images"),
        (np.zeros((4, 0)), "which are empty"),
        (np.zeros((4, 2, 2)), "give f[n,d], such as their mean over locations"),
        (np.zeros((4, 2), complex), "complex numbers; give real numbers"),
        (np.array([[None]] * 4), "an array of type object"),
        ([["a"]] * 4, "an array of type <U1"),
        ([[1, 2], [3], [4], [5]], "a list that numpy.asarray does not take"),
        ({}, "a dict with the keys []"),
        ({3: np.zeros((4, 2))}, "a dict with the keys [3]"),
        ({"a": np.zeros((4, 2)), "b": np.zeros((3, 2))}, "shape [3, 2] for 4 images"),
    ],
)
def test_outputs_that_are_no_features(output, message):
    with pytest.raises(contracts.UserError) as caught:
        functions.Function("m:f", lambda images: output)(np.zeros((4, 1, 1, 1)))
    assert message in str(caught.value) and str(caught.value).startswith("the encoder m:f returned")


def test_features_of_other_types_and_shapes():
    outputs = iter([np.ones((2, 3), int), np.ones((2, 3), np.float64), np.ones((2, 4))])
    function = functions.Function("m:f", lambda images: next(outputs))
    images = np.zeros((2, 1, 1, 1))
    assert [function(images)["y"].dtype for _ in range(2)] == [np.float32, np.float32]
    with pytest.raises(contracts.UserError, match=r"y \[n, 3\], then y \[n, 4\]"):
        function(images)


def test_what_a_function_does_to_its_images_is_not_done_to_the_data():
    images = np.ones((2, 1, 1, 1), np.uint8)

    def blackens(batch):
        batch[:] = 0
        return batch.reshape(2, 1)

    functions.Function("m:f", blackens)(images)
    assert images.all()


def test_an_error_in_a_function_names_its_line(folder):
    (folder / "fails.py").write_text("def encode(images):\n    return images @ 3\n")
    with pytest.raises(contracts.UserError, match=r"raised ValueError: .* \(fails.py, line 2\)"):
        functions.load("fails.py:encode")(np.zeros((2, 1, 1, 1)))


def test_the_taps_that_evaluations_read():
    evals = {"knn": {"name": "knn"}, "prior_fit": {"name": "prior_fit"}}
    filled = chosen.with_taps(evals, ("conv", "y"))
    assert filled["knn"]["taps"] == ("conv", "y") and filled["prior_fit"]["taps"] == ("y",)
    evals = {"a": {"name": "knn", "taps": ("conv",)}, "prior_fit": {"name": "prior_fit"}}
    filled = chosen.with_taps(evals, ("conv", "pooled"))
    assert filled["a"]["taps"] == ("conv",)
    assert filled["prior_fit"]["taps"] == ("conv", "pooled")
