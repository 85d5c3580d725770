"""The sentence on a collapsed encoder: when it comes, and that it comes once."""

import pytest

from dim_jax import outputs, report
from dim_jax.report import collapse
from dim_jax.rundir import workdir
from dim_jax.training import trainer


def row(step, rank=40.0, share=0.63, deviation=0.8, tap="y"):
    values = dict(rank=rank, rank_share=share, deviation=deviation)
    return {"step": step, **{f"features/{tap}/{name}": each for name, each in values.items()}}


# What was measured of encoders that are not collapsed, at the start or in training.
HEALTHY = {
    "AMDIM, untrained": dict(rank=4.32, share=0.135, deviation=0.592),
    "CMC, trained": dict(rank=13.8, share=0.864, deviation=0.106),
    "a score of GAN critics": dict(rank=1.0, share=1.0, deviation=3e-8),
    "two features": dict(rank=1.1, share=0.55, deviation=0.005),
    "four images": dict(rank=1.1, share=0.37, deviation=0.05),
    "three readings are not finite": dict(rank=None, share=None, deviation=None),
}
COLLAPSED = {
    "deviation": dict(rank=4.1, share=0.129, deviation=0.055),
    "constant": dict(rank=0.0, share=0.0, deviation=0.0),
    "noise": dict(rank=58.0, share=0.92, deviation=0.004),
    "rank": dict(rank=1.4, share=0.022, deviation=0.7),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_encoders_are_not_accused(case):
    watch = collapse.Watch()
    rows = [row(step, **HEALTHY[case]) for step in range(9)]
    assert not [each for one in rows for each in watch.update(one)]
    assert collapse.at_end(rows) == ""


@pytest.mark.parametrize("case", COLLAPSED)
def test_a_collapse_is_said_once_after_three_readings(case):
    watch = collapse.Watch()
    rows = [row(step, **COLLAPSED[case]) for step in range(9)]
    said = [watch.update(one) for one in rows]
    assert [len(each) for each in said] == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    (sentence,) = said[2]
    assert sentence.startswith("the encoder has collapsed: at y ") and "mends it: " in sentence
    assert collapse.at_end(rows).startswith("The encoder has collapsed: at y ")


def test_readings_are_consecutive_and_a_second_cause_is_said_too():
    watch = collapse.Watch()
    bad, worse = COLLAPSED["deviation"], COLLAPSED["rank"]
    mixed = [bad, bad, {}, bad, bad, {}, bad, bad, bad, worse, worse, worse, bad, bad, bad]
    said = [len(watch.update(row(step, **values))) for step, values in enumerate(mixed)]
    assert said == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert watch.update({"step": 99, "loss/encoder": 1.0}) == []
    assert collapse.at_end([row(0, **bad), row(1, **bad), row(2, **bad), row(3)]) == ""


def test_the_console_and_the_report_say_it(tmp_path, capsys):
    folder = workdir.Workdir(tmp_path / "run")
    folder.claim({"train": {}})
    writers = outputs.Outputs(folder, report.Console())
    writers.begin(0, trainer.Plan(64, 22, 44, 11, 22))
    for step in range(1, 8):
        writers.append(row(step, **COLLAPSED["deviation"]) | {"grad_norm/encoder": 1.0})
    writers.close()
    assert capsys.readouterr().out.count("warning: the encoder has collapsed: at y ") == 1
    page = report.write_html(folder.path).read_text()
    assert page.count("The encoder has collapsed: at y ") == 1
    assert "Is it learning?" in page and "features/y/deviation" in page
