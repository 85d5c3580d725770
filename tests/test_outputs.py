"""The metrics of a run while it trains: what ends them, and what must not hide an error."""

import shutil

import pytest

from dim_jax import contracts, outputs, report
from dim_jax.rundir import workdir
from dim_jax.training import trainer

PLAN = trainer.Plan(64, 22, 44, 11, 22)


@pytest.fixture
def folder(tmp_path):
    made = workdir.Workdir(tmp_path / "run")
    made.claim({"train": {}})
    return made


def test_an_error_before_the_first_row_is_not_hidden(folder):
    writers = outputs.Outputs(folder, report.Console())
    writers.close()
    folder.tensorboard.write_text("in the way")
    writers = outputs.Outputs(folder, report.Console())
    with pytest.raises(contracts.UserError, match="TensorBoard events could not be written"):
        writers.begin(0, PLAN)
    writers.close()


def test_a_folder_that_was_deleted_is_not_made_again(folder):
    writers = outputs.Outputs(folder, report.Console())
    writers.begin(0, PLAN)
    writers.append({"step": 11})
    shutil.rmtree(folder.path)
    with pytest.raises(contracts.UserError, match="is gone: it was deleted or moved"):
        writers.append({"step": 22})
    writers.close()
    assert not folder.path.exists()


def test_damaged_lines_are_said_and_dropped(folder, capsys):
    folder.metrics.write_text('{"step": 1}\n{"st\n{"step": 3, "time/seconds": 2.5}\n{"step": 4')
    writers = outputs.Outputs(folder, report.Console())
    assert writers.begin(3, PLAN) == {"step": 3, "time/seconds": 2.5}
    writers.close()
    assert (
        "metrics.jsonl has damaged lines, which are left out: line 2\n" in capsys.readouterr().out
    )
    assert folder.metrics.read_text() == '{"step": 1}\n{"step": 3, "time/seconds": 2.5}\n'
