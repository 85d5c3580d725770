"""results.json names the source of published numbers, and how they were measured otherwise."""

import io
import json

from dim_jax import report
from dim_jax.evaluate import cache, results_files
from dim_jax.rundir import workdir

ROW = {
    **dict(eval="mlp", protocol="mlp-v1", representation="trained", tap="y", dim=64, labels="all"),
    **dict(metric="accuracy", value=0.5, std=None, fits=1, split="test", published=69.13),
}


def test_the_note_on_published_numbers_is_written_and_printed(tmp_path):
    folder, out = workdir.Workdir(tmp_path / "run"), io.StringIO()
    folder.path.mkdir()
    store = cache.Store(folder.evaluations)
    about = "Table 1", "Nearest to how they were measured is budget=paper."
    results_files.write(folder, report.Console(out), store, {}, [ROW], [], *about)
    content = json.loads(folder.results.read_text())
    assert (content["published_source"], content["published_differs"]) == about
    line = f"Published: {about[0]}. {about[1]}"
    assert line in out.getvalue().splitlines() and line in folder.report.read_text()
    results_files.write(folder, report.Console(out), store, {}, [ROW | dict(published=None)], [])
    content = json.loads(folder.results.read_text())
    assert content["published_source"] is None and content["published_differs"] is None
