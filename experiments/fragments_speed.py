"""The benchmarks as Markdown, from experiments/results/bench_*.json."""

from collections.abc import Iterable

from experiments.fragments import markdown


def facts(content: dict, command: str) -> str:
    """Device, versions, commit and command of a benchmark, and what else the machine did."""
    versions = content.get("versions", {})
    used = [f"{name} {versions[name]}" for name in ("jax", "torch", "grain") if name in versions]
    where = ", ".join([content["device"], *used, f"commit `{content['commit'][:10]}`"])
    note = f" {content['note']}" if "note" in content else ""
    return f"{where} (`python -m experiments.{command}`).{note}"


def bounds(content: dict) -> str:
    """Time and memory of the bounds: dense against blockwise."""
    dot = [row for row in content["rows"] if row["critic"] == "dot" and row["batch"] >= 8192]
    mlp = [row for row in content["rows"] if row["critic"] == "concat"]
    headings = (
        *("pairs", "function", "dense", "blockwise", "dense, MiB", "blockwise, MiB"),
        "blockwise over dense",
    )
    blocks = [
        "Value and gradient, one compiled program; MiB of temporary memory. "
        + facts(content, "bench_bounds")
    ]
    for title, rows in (
        ("Dot products, float32", [row for row in dot if row["dtype"] == "float32"]),
        ("Dot products, bfloat16", [row for row in dot if row["dtype"] == "bfloat16"]),
        ("MLP critic with two hidden layers of 512, float32", mlp),
    ):
        blocks.append(f"**{title}**:\n\n{markdown(headings, map(_bound, rows))}")
    return "\n\n".join(blocks) + "\n"


def _bound(row: dict) -> tuple[str, ...]:
    ratio = row["blockwise_over_dense"]
    return (
        *(f"{row['batch']:,}", f"`{row['bound']}`"),
        f"{row['dense_seconds']:.2f} s" if row["dense_seconds"] else "does not fit",
        f"{row['blockwise_seconds']:.2f} s",
        f"{row['dense_temp_mib']:,.0f}",
        f"{row['blockwise_temp_mib']:,.0f}",
        f"{ratio:.2f}" if ratio else "",
    )


def steps(contents: Iterable[dict]) -> str:
    """Training steps beside PyTorch's, a table for each kind of machine."""
    return "\n".join(map(_steps, contents))


def _steps(content: dict) -> str:
    cases: dict[str, dict] = {}
    for row in content["rows"]:
        cases.setdefault(row["case"], {})[row["step"], row["dtype"]] = row
    headings = (
        *("step", "float32", "PyTorch, float32", "bfloat16", "PyTorch, bfloat16"),
        *("bfloat16 over PyTorch's best", "share of the matmul rate", "trainer over bare step"),
    )
    rows = [_step(case, rows) for case, rows in cases.items()]
    return (
        f"**A machine with {content['machine'] or content['device']}**: images per second of "
        "training steps, of DIM(L) with InfoNCE where no method is named; of PyTorch the faster of "
        f"eager and compiled. {facts(content, 'bench_train_step')}\n\n{markdown(headings, rows)}\n"
    )


def _step(case: str, rows: dict) -> tuple[str, ...]:
    cells = [case]
    for dtype in ("float32", "bfloat16"):
        theirs = [row for (step, of), row in rows.items() if "pytorch" in step and of == dtype]
        fastest = max(row["images_per_second"] for row in theirs)
        cells += [f"{rows['dim_jax', dtype]['images_per_second']:,.0f}", f"{fastest:,.0f}"]
    ours, trainer = rows["dim_jax", "bfloat16"], rows["trainer", "bfloat16"]
    return (
        *(*cells, f"{ours['over_best_pytorch']:.2f}", f"{ours['fraction_of_matmul']:.2f}"),
        f"{trainer['trainer_over_bare']:.2f}",
    )


def inputs(content: dict) -> str:
    """Images per second of the input pipeline."""
    headings = (
        *("data", "consumer", "reader", "threads", "processes", "images per second"),
        *("slowest to fastest round", "over resident"),
    )
    rows = [
        (
            *(row["data"] + (f", {size} pixels" if (size := row["image_size"]) else ""),),
            *(row["consumer"], row["reader"], _text(row["threads"]), _text(row["processes"])),
            f"{row['images_per_second']:,.0f}",
            f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
            f"{row['over_resident']:.2f}",
        )
        for row in content["rows"]
        if row["images_per_second"]
    ]
    absent = sorted({row["reader"] for row in content["rows"] if not row["images_per_second"]})
    note = f" Not installed, so not measured: {', '.join(absent)}." if absent else ""
    return f"{facts(content, 'bench_input')}{note}\n\n{markdown(headings, rows)}\n"


def embedding(content: dict) -> str:
    """Images per second of embedding a folder, beside its parts alone."""
    headings = (
        *("encoder", "pixels", "images per second", "decoder alone", "encoder alone"),
        *("over decoder", "CPU time, ms", "of the decoder", "of the encoder"),
    )
    rows = [
        (
            *(f"`{row['encoder_name']}`", f"{row['side']}"),
            *(f"{row[key]:,.0f}" for key in ("images_per_second", "decoder", "encoder")),
            f"{row['over_decoder']:.2f}",
            *(f"{row['cpu_milliseconds'][part]:.2f}" for part in ("command", "decoder", "encoder")),
        )
        for row in content["rows"]
    ]
    first = content["rows"][0]
    counts = ", ".join(f"{row.get('images', content.get('images')):,}" for row in content["rows"])
    peaks = ", ".join(
        f"{peak:,.0f} MiB of {int(images):,} images"
        for images, peak in first.get("peak_mib", {}).items()
    )
    memory = f"Peak memory with the first encoder: {peaks}. " if peaks else ""
    return (
        f"{facts(content, 'bench_embed')} {counts} JPEGs of {content['width']} x "
        f"{content['height']} pixels. {memory}For images of {first['side']} pixels a thread "
        f"decodes {first['decoded_per_cpu_second']:,.0f} a second, and "
        f"{first['complete_per_cpu_second']:,.0f} in their complete size.\n\n"
        f"{markdown(headings, rows)}\n"
    )


def microbatches(content: dict) -> str:
    """Memory and time of a step whose encoder runs in microbatches."""
    headings = (
        *("encoder", "batch", "sampled locations", "microbatches", "temporary memory, MiB"),
        *("over one microbatch", "seconds per step", "images per second"),
    )
    rows = [
        (
            *(row["encoder"], f"{row['batch']:,}", _text(row["sampled_locations"]) or "all"),
            *(f"{row['microbatches']}", f"{row['temp_mib']:,.0f}", f"{row['temp_over_whole']:.2f}"),
            f"{row['step_seconds']:.2f}" if row["step_seconds"] else "compiled only",
            f"{row['images_per_second']:,.0f}" if row["images_per_second"] else "",
        )
        for row in content["rows"]
    ]
    return f"{facts(content, 'bench_microbatches')}\n\n{markdown(headings, rows)}\n"


def faults(content: dict) -> str:
    """Recovery of runs that are interrupted or damaged."""
    headings = ("fault", "steps repeated", "same bits as an uninterrupted run", "remark")
    rows = [
        (
            *(row["fault"], f"{row['steps_made_again']}", "yes" if row["bit_equal"] else "no"),
            _remark(row),
        )
        for row in content["rows"]
    ]
    return f"{facts(content, 'bench_faults')}\n\n{markdown(headings, rows)}\n"


def _remark(row: dict) -> str:
    if "largest_relative_difference_of_losses" in row:
        largest = row["largest_relative_difference_of_losses"]
        return f"losses differ by at most {largest:.1g} of their size"
    if "evaluations_kept" in row:
        return f"{row['evaluations_kept']} finished evaluations kept"
    return f"`{row['message']}`" if "message" in row else ""


def memory(content: dict) -> str:
    """Memory over a long run, and what checkpoints take."""
    saving, growth, scores = (content[part] for part in ("saving", "growth", "scores"))
    term = f"local InfoNCE of {scores['batch']:,} images, {scores['locations']} locations"
    rows = [
        ("size of the training state", f"{saving['state_mib']:,.0f}"),
        ("extra memory while a checkpoint is saved", f"{saving['save_extra_peak_mib']:,.0f}"),
        ("extra memory while it is restored", f"{saving['restore_extra_peak_mib']:,.0f}"),
        (
            f"growth after warm-up, {growth['steps']:,} steps and "
            f"{growth['checkpoints_saved']} checkpoints",
            f"{growth['growth_mib']:.1f}",
        ),
        (f"{term}: all scores", f"{scores['scores_mib']:,.0f}"),
        (f"{term}: temporary memory, scores held", f"{scores['held_temp_mib']:,.0f}"),
        (
            f"{term}: in blocks of {scores['images_per_block']} images, "
            f"{scores['blocks_over_held_cpu_seconds']:.2f} times the CPU time",
            f"{scores['blocks_temp_mib']:,.0f}",
        ),
    ]
    tenths = ", ".join(f"{value:,.0f}" for value in growth["mib_by_tenth"])
    return (
        f"{facts(content, 'bench_memory')} The rows of local InfoNCE: "
        f"{facts(scores, 'bench_memory --parts scores')}\n\n{markdown(('', 'MiB'), rows)}\n\n"
        f"Resident memory after each tenth of the run, in MiB: {tenths}.\n"
    )


def starts(content: dict) -> str:
    """Time of a command to its first step and to its end."""
    headings = (
        *("command", "cache", "first step, s", "processor time, s", "whole command, s"),
        *("processor time, s", "programs"),
    )
    rows = [
        (
            *(row["command"], row["cache"], f"{row['first_step_seconds']:.1f}"),
            f"{row['first_step_cpu_seconds']:.1f}",
            *(f"{row[key]:.1f}" if row[key] else "" for key in ("seconds", "cpu_seconds")),
            f"{row['programs']}" if row["seconds"] else "",
        )
        for row in content["rows"]
    ]
    return f"{facts(content, 'bench_start')}\n\n{markdown(headings, rows)}\n"


def evaluations(content: dict) -> str:
    """Time of encoding, of each probe, and of all evaluations of a run."""
    encoding = [
        (
            *(row["form"], row["dtype"], f"{row['images_per_second']:,.0f}"),
            f"{row['images_per_cpu_second']:,.0f}",
            _ratio(row["over_pytorch_same_dtype"]),
        )
        for row in content["rows"]
        if row["part"] == "encode"
    ]
    probes = [
        (
            *(row["probe"], f"`{row['protocol']}`", row["form"], f"{row['cpu_seconds']:.2f}"),
            _ratio(row["before_over_now"]),
        )
        for row in content["rows"]
        if row["part"] == "probe"
    ]
    columns = ("trained", "untrained", "pixels", "pca")
    runs: dict[tuple[str, str], dict[str, float]] = {}
    for row in content["rows"]:
        if row["part"] == "evaluations":
            seconds = runs.setdefault((row["run"], row["eval"]), {})
            seconds[row["representation"]] = row["cpu_seconds"]
    evaluated = [
        (*(run, evaluation), *(f"{row[c]:.1f}" if c in row else "" for c in columns), _sum(row))
        for (run, evaluation), row in runs.items()
    ]
    blocks = (
        facts(content, "bench_evaluate"),
        "**Encoding**\n\n"
        + markdown(
            ("program", "dtype", "images per second", "per CPU second", "over PyTorch's best"),
            encoding,
        ),
        "**Probes**, CPU seconds\n\n"
        + markdown(("probe", "protocol", "form", "CPU seconds", "before over now"), probes),
        "**All evaluations of `dim_cifar10.py:local,budget=cpu`**, CPU seconds\n\n"
        + markdown(("run", "evaluation", *columns, "sum"), evaluated),
    )
    return "\n\n".join(blocks) + "\n"


def _sum(seconds: dict[str, float]) -> str:
    return f"{sum(seconds.values()):.0f}"


def _ratio(value: float | None) -> str:
    return f"{value:.2f}" if value else ""


def _text(value) -> str:
    return "" if value is None else str(value)


BENCHMARKS = {
    "bench_bounds_cpu": bounds,
    "bench_embed_cpu": embedding,
    "bench_evaluate_cpu": evaluations,
    "bench_faults_cpu": faults,
    "bench_input_cpu": inputs,
    "bench_memory_cpu": memory,
    "bench_microbatches_cpu": microbatches,
    "bench_start_cpu": starts,
}
