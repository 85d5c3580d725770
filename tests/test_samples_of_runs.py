"""Whole runs of a method with a generator: images at checkpoints, and evaluations of points."""

import contextlib
import json

import pytest
import training

from configs import common
from dim_jax import experiment, outputs, report, settings
from dim_jax.rundir import workdir
from dim_jax.training import stopping


def points(**train) -> dict:
    """The config of a small GAN on the ring, 20 steps with checkpoints after 10 of them."""
    method = dict(
        name="gan",
        encoder=dict(name="mlp", widths=(8,)),
        generator=dict(name="mlp_generator", widths=(8,), shape=(1, 1, 2)),
        prior=dict(name="gaussian"),
        dimensions=3,
        objective="non_saturating",
        regulariser="contractive",
        penalty=0.1,
        convention="half",
    )
    names = {"samples": "samples", "scores": "score_histogram", "modes": "modes"}
    config = common.config(
        data=common.data("ring", image_size=None),
        method=method,
        players=dict.fromkeys(("encoder", "generator"), common.adam(1e-3)),
        train=common.train(
            **dict(batch_size=800, epochs=1.0, steps_per_dispatch=10, save_epochs=0.5) | train
        ),
        evals={key: dict(name=name) for key, name in names.items()},
    )
    return config.to_dict()


def train(folder: workdir.Workdir):
    """The final train state of a run that is not evaluated."""
    folder.claim(points())
    with contextlib.closing(outputs.Outputs(folder, report.Console())) as writers:
        made = experiment.Experiment.of(settings.Config.of(points()))
        return made.train(folder, writers).train_state


@pytest.mark.slow
def test_images_at_checkpoints_change_no_bit_and_are_those_of_a_continued_run(
    tmp_path, monkeypatch
):
    whole, parts, plain = (workdir.Workdir(tmp_path / name) for name in ("whole", "parts", "plain"))
    state = train(whole)
    with monkeypatch.context() as patched:
        patched.setattr(experiment.SamplesOverTraining, "write", lambda *arguments: None)
        training.same(state, train(plain))
    assert whole.samples.exists() and not plain.samples.exists()
    with pytest.raises(stopping.Stopped):
        experiment.train_and_evaluate(points(max_minutes=1e-9), str(parts.path), "points")
    names = ["step_00000010.npy", "step_00000020.npy"]
    assert [path.name for path in parts.samples.iterdir()] == names[:1]
    (parts.samples / names[0]).unlink()  # as if the run had been killed after its checkpoint
    results = experiment.train_and_evaluate(points(), str(parts.path), "points")
    for name in names:
        assert (whole.samples / name).read_bytes() == (parts.samples / name).read_bytes()
    notes = results["run"]["notes"]
    assert not any("Samples over training" in note for note in notes)
    assert any("half of the mean squared slope" in note for note in notes)
    files = {figure["file"] for figure in json.loads(parts.results.read_text())["figures"]}
    assert files == {
        *("samples.png", "samples_over_training.png", "scores.png", "untrained_scores.png")
    }
    found = {(row["representation"], row["metric"]): row["value"] for row in results["rows"]}
    assert found["untrained", "modes"] == 8 and found["trained", "energy_distance"] > 0
    assert "score_overlap_targets" not in {metric for _, metric in found}
