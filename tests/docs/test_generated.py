"""What is generated from result files is complete, and the README's table is up to date."""

import pathlib
import re

import pytest

from configs import views
from experiments import fragments_methods, fragments_speed, pages, readme, table_text

ROOT = pathlib.Path(__file__).parent.parent.parent
RESULTS = pages.results()
TEXTS = pages.texts()
EXPERIMENTS = [name for name in RESULTS if name in fragments_methods.PAGES]


def test_the_readme_has_the_generated_table():
    _, between, after = readme.parts(readme.README.read_text(), "results")
    assert between == readme.results() and after
    assert len(readme.ROWS) <= 10


def test_every_result_file_is_an_experiment_or_a_benchmark():
    steps = {name for name in RESULTS if name.startswith(pages.STEPS)}  # one for each machine
    others = {
        "dim_a1_jsd_vs_mi",
        "mi_benchmark_cpu",
        "mi_staircase_cpu",
        "wdm_grids_cpu",
        "mi_and_representations_cpu",
        "mi_self_consistency_cpu",
        "cpc_labels_cpu",
        *steps,
    }
    assert steps and {*EXPERIMENTS, *fragments_speed.BENCHMARKS, *others} == RESULTS.keys()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_names_device_seeds_steps_and_commit(name):
    runs = TEXTS[f"results/{name}"].partition(":::{dropdown}")[2]
    for row in RESULTS[name]["rows"]:
        assert row["device"] and row["seeds"] and row["steps"] > 0 and row["commit"]
        line = next(line for line in runs.splitlines() if line.startswith(f"| {row['label']} |"))
        assert f"| {row['steps']:,} |" in line and f"| {row['device']} |" in line
        assert f"`{row['commit'][:10]}`" in line and table_text.command(row) in line
        assert "judge=" not in line


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_is_on_the_page_of_a_method(name):
    """But those that chose settings and those that only measure controls."""
    shown = "\n".join(text for path, text in TEXTS.items() if path.startswith("methods/"))
    target, title = fragments_methods.PAGES[name]
    assert (f"{{ref}}`{title} <results-{target}>`" in shown) != name.endswith("_choice_cpu")


def test_rows_of_the_config_of_many_methods_are_on_the_pages_of_their_methods():
    assert {*views.ACROSS_VIEWS, *views.OTHERS} <= fragments_methods.CONFIGS.keys()
    content = RESULTS["cmc_views_cpu"]
    row = {**content["rows"][0], "config": "configs/views.py:method=moco,budget=cpu"}
    results = {"views_table_cpu": {**content, "rows": [row]}}
    shown = {page: fragments_methods.method(page, results) for page in fragments_methods.CONFIGS}
    assert [page for page, text in shown.items() if "results-views" in text] == ["moco"]


@pytest.mark.parametrize("page", ["dim", "bigan", "amdim"])
def test_published_accuracies_stand_beside_the_controls(page):
    """Also those that the experiment measured in another row with the same encoder.

    The paper's protocols judge the trained encoder alone, beside ours with the controls.
    """
    lines = TEXTS[f"methods/{page}"].splitlines()
    (heading, *_) = tables = [line.split(" | ") for line in lines if " | published | " in line]
    first = heading.index("untrained encoder")
    assert all(each[first : first + 3] == heading[first : first + 3] for each in tables)
    assert heading[first + 1 : first + 3] == ["raw pixels", "PCA"]
    rows = [line.split(" | ") for line in lines if re.search(r"-v1 \| `\w+` \| [\d.]+", line)]
    shown = [row for row in rows if len(row) == len(heading)]
    of_papers = [row for row in shown if "-paper-" in row[1]]
    controlled = [row for row in shown if row not in of_papers]
    assert controlled and all(all(row[first : first + 3]) for row in controlled)
    beside = {(row[0], row[2]) for row in controlled}
    assert all((row[0], row[2]) in beside for row in of_papers)


def test_every_fragment_is_on_a_page_and_every_included_one_exists():
    folder = ROOT / "docs"
    sources = [
        path for path in folder.rglob("*.md") if not {"_build", "_generated"} & {*path.parts}
    ]
    text = "\n".join(path.read_text() for path in sources)
    included = set(re.findall(r"\{include\} /_generated/(\S+)\.md", text))
    assert included <= TEXTS.keys()
    for name in RESULTS:
        speed = {"bench_bounds": "bounds_speed", "bench_train_step": "steps_speed"}
        fragments = [page for start, page in speed.items() if name.startswith(f"{start}_")]
        assert {*fragments} or f"results/{name}" in included, name
        assert included >= {*fragments}


@pytest.mark.parametrize("path", TEXTS)
def test_fragments_can_be_included_anywhere(path):
    """They have no headings, no list in an item, and all lines of a table have as many cells."""
    text = TEXTS[path]
    assert not re.search(r"^#|^- [-+*] ", text, re.M)
    for table in re.findall(r"(?:^\|.*\n)+", text + "\n", re.M):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table


def test_writing_leaves_unchanged_fragments_alone(tmp_path):
    pages.write(tmp_path)
    path = tmp_path / "methods" / "dim.md"
    before = path.stat().st_mtime_ns
    pages.write(tmp_path)
    assert path.stat().st_mtime_ns == before
    assert path.read_text() == TEXTS["methods/dim"]
    assert (tmp_path / "figures" / "dim_figure9_cpu.png").exists()
