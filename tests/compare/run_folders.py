"""Small run folders, as runs write them."""

import json

CONFIG = {
    "seed": 0,
    "data": {"name": "digits", "road": "auto"},
    "augment": {"views": 1},
    "method": {"name": "dim", "bound": {"name": "infonce"}, "widths": [16, 16]},
    "players": {"encoder": {"name": "adam", "learning_rate": 0.001}},
    "train": {"batch_size": 64, "epochs": 6.0, "steps_per_dispatch": 11, "save_epochs": 5},
    "evals": {"mlp": {"name": "mlp", "protocol": "mlp-v1"}},
}


def row(tap, value, evaluation="mlp", **more):
    return {
        "eval": evaluation,
        "protocol": "mlp-v1",
        "representation": "trained",
        "tap": tap,
        "dim": 8,
        "labels": "all",
        "metric": "accuracy",
        "value": value,
        "std": None,
        "fits": 1,
        "split": "test",
        "published": None,
        **more,
    }


def results(rows, **facts):
    run = {
        "config": "quickstart",
        "device": "CPU",
        "steps": 132,
        "dataset": "digits",
        "train_examples": 1438,
        "test_examples": 359,
        "versions": {"dim_jax": "0.1.0"},
        **facts,
    }
    return {"format": 1, "run": run, "rows": rows, "figures": []}


class Folders:
    """Makes run folders in `root`."""

    def __init__(self, root):
        self.root = root

    def make(self, name, value=0.5, rows=None, facts=None, steps=6, **changes):
        """The folder of a finished run.

        Args:
          changes: of the config by key, with "__" for the dots; None for `rows` has one row.
        """
        folder = self.root / name
        folder.mkdir(parents=True)
        config = json.loads(json.dumps(CONFIG))
        for key, content in changes.items():
            *blocks, last = key.split("__")
            place = config
            for block in blocks:
                place = place[block]
            place[last] = content
        rows = [row("y", value)] if rows is None else rows
        logged = [
            {
                "step": 10 * step,
                "epoch": step / 2,
                "loss/encoder": value + 5 / step,
                "local/nats": value,
                "time/seconds": step / 7,
            }
            for step in range(1, steps + 1)
        ]
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "data.json").write_text(json.dumps({"format": 1, "name": "digits"}))
        (folder / "results.json").write_text(json.dumps(results(rows, **(facts or {}))))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in logged))
        return folder

    def three(self):
        """Two seeds of one setting, and another setting."""
        return [
            self.make("base_seed0", 0.5),
            self.make("base_seed1", 0.7, seed=1),
            self.make("wide", 0.8, method__widths=[32, 32]),
        ]
