"""Published numbers beside those of a run, and what they say of how the run differs."""

from dim_jax import command, commandline, published, settings


def test_published_numbers_are_those_of_the_data_that_the_config_names(config):
    spec = config("dim_cifar10", "local,bound=infonce")
    given = settings.Config.of(spec)
    assert published.numbers(given)["mlp_paper"]["y"] == 69.13
    line = published.line(given, {})
    assert line == "published numbers: Hjelm et al. 2019, Table 1"
    short = settings.Config.of(config("dim_cifar10", "local,bound=infonce,cpu"))
    assert published.line(short, {}) == f"{line}. {short.published_differs}"
    spec["data"]["name"] = "svhn_cropped"
    other = settings.Config.of(spec)
    assert published.numbers(other) == {}
    assert published.line(other, {}) == (
        "published numbers: none, as those of this config are of cifar10"
    )


def test_published_numbers_of_an_evaluation_are_those_of_the_data_that_it_names(config):
    def numbers(words="stl10,judged=cifar10", **changes):
        spec = config("exemplar", words)
        spec["evals"]["svm"] |= changes
        return published.numbers(settings.Config.of(spec))

    assert numbers() == {"svm": {"pooled": 76.5}}
    assert numbers(data="cifar10") == numbers()
    assert numbers(data="cifar100") == numbers(data=None) == {}
    assert numbers("stl10,judged=same") == {"svm": {"pooled": 67.1}}
    assert numbers("stl10", data="cifar10") == {}  # the number is of STL-10
    for words in ("cifar10", "imagenette,judged=cifar10", "stl10,judged=cifar10,changes=none"):
        assert numbers(words) == {}


def test_published_numbers_do_not_depend_on_where_images_lie(config):
    spec = config("amdim_imagenet", "large,places205")
    spec["evals"]["linear_places205"]["data"]["name"] = "folder:/images/places205"
    assert published.numbers(settings.Config.of(spec))["linear_places205"] == {"y": 55.0}
    spec["evals"]["linear_places205"]["data"]["name"] = "folder:/images/places365"
    assert published.numbers(settings.Config.of(spec)) == {"linear": {"y": 68.1}}


DIM = "configs/dim_cifar10.py:local,bound=infonce,budget"


def overridden(words: str, *arguments: str) -> dict:
    """{key: value} of what a command says of itself beside published numbers."""
    parsed = commandline.parse(["main.py", f"--config={words}", *arguments])
    return published.overrides(parsed.written, settings.Config.of(parsed.config))


def numbers(words: str, *arguments: str) -> dict:
    """The published numbers that stand beside the rows of a command."""
    parsed = commandline.parse(["main.py", f"--config={words}", *arguments])
    return published.numbers(settings.Config.of(parsed.config))


def test_overrides_that_change_what_is_measured_are_named():
    of_training = (
        *("--config.train.epochs=2", "--config.train.batch_size=128", "--config.encoder.init=x"),
        *("--config.players.encoder.learning_rate=0.5", "--config.data.test_split=test[:100]"),
        *("--config.augment.flip", "--config.data.eval_train_images=500"),
    )
    given = overridden(f"{DIM}=paper", *of_training)
    assert given.pop("players.encoder.learning_rate") == 0.5
    assert given == {
        **{"train.epochs": 2, "train.batch_size": 128, "encoder.init": "x"},
        **{"data.test_split": "test[:100]", "augment.flip": True, "data.eval_train_images": 500},
    }


def test_overrides_that_change_nothing_are_not_named():
    unmeasured = (
        *("--config.seed=3", "--config.track=wandb", "--config.train.save_epochs=1"),
        *("--config.train.steps_per_dispatch=7", "--config.compute_dtype=bfloat16", "--workdir=x"),
        *("--config.data.road=streaming", "--config.train.keep_best=loss/encoder"),
        *("--config.data.data_dir=x", "--config.train.max_minutes=5", "--config.deterministic"),
        "--config.train.batch_size=64",  # as it is
        "--config.published_source=Ours",
        "--config.evals.mlp.protocol=mlp-v2",  # it has no published number
        "--config.evals.mlp_paper.taps=('y',)",
        # Of the probe that is trained along.
        *("--config.players.probe.learning_rate=0.5", "--config.method.taps=('y',)"),
    )
    assert overridden(f"{DIM}=paper", *unmeasured) == {}
    amdim = "configs/amdim_cifar10.py:budget=paper"  # one probe around another
    monitors = ("--config.players.mlp_probe.learning_rate=9.", "--config.method.method.taps=('y',)")
    assert overridden(amdim, *monitors) == {}
    assert [*overridden(amdim, "--config.method.method.method.penalty=9.")] == [
        "method.method.method.penalty"
    ]
    # Nothing says what an API call of other values than a file's is measured beside.
    parsed = commandline.parse(["main.py", f"--config={DIM}=paper"])
    assert published.overrides({}, settings.Config.of(parsed.config)) == {}


def test_the_protocol_of_an_evaluation_with_published_numbers_is_named():
    changed = {"evals.mlp_paper.protocol": "mlp-v1"}
    assert overridden(f"{DIM}=paper", "--config.evals.mlp_paper.protocol=mlp-v1") == changed
    entry = '--evals={"mlp_paper": {"name": "mlp"%s}}'
    assert overridden(f"{DIM}=paper", entry % "") == changed  # by default
    assert overridden(f"{DIM}=paper", entry % ', "protocol": "mlp-paper-v1"') == {}
    assert overridden(f"{DIM}=cpu", "--evals=mlp") == {}  # as in the config


def test_rows_that_can_have_no_number_have_none_announced():
    """Of few or permuted labels, of several views, or of other representations."""
    for option in (
        *('"labels_per_class": 10', '"permuted": true', '"views": 4'),
        '"representations": ["untrained"]',
    ):
        given = f'--evals={{"mlp": {{"name": "mlp", {option}}}}}'
        assert numbers(f"{DIM}=cpu", given) == overridden(f"{DIM}=cpu", given) == {}
        parsed = commandline.parse(["main.py", f"--config={DIM}=cpu", given])
        line = published.line(settings.Config.of(parsed.config), {})
        assert line.startswith("published numbers: none, as none of these evaluations is like mlp ")


def test_the_protocol_of_a_paper_has_its_numbers_under_other_keys():
    by_paper = '--evals={"%s": {"name": "mlp", "protocol": "mlp-paper-v1"%s}}'
    for key in ("mlp", "other"):
        given = by_paper % (key, "")
        assert numbers(f"{DIM}=paper", given) == {key: dict(conv=75.21, fc=75.57, y=69.13)}
        assert overridden(f"{DIM}=paper", given) == {}
    given = by_paper % ("mlp_paper", "")
    assert numbers(f"{DIM}=cpu", given).keys() == {"mlp_paper"}
    assert [*overridden(f"{DIM}=cpu", given)] == ["evals.mlp_paper.protocol"]
    assert numbers(f"{DIM}=paper", '--evals={"mlp": {"name": "mlp"}}') == {}
    # Of the same images, named.
    named = by_paper % ("mlp_paper", ', "data": "cifar10"')
    assert numbers(f"{DIM}=paper", named).keys() == {"mlp_paper"}
    assert numbers(f"{DIM}=paper", by_paper % ("mlp_paper", ', "data": "cifar100"')) == {}


def test_training_images_of_evaluations_count_where_something_is_fitted():
    fewer = "--config.data.eval_train_images=100"
    assert overridden("configs/supervised.py:budget=paper", fewer) == {}
    assert overridden(f"{DIM}=paper", fewer) == {"data.eval_train_images": 100}


def test_weights_without_which_an_evaluation_is_not_run_are_not_named():
    gan = "configs/implicit_generator.py:data=tiny_imagenet,budget=smoke"
    assert numbers(gan, "--config.evals.fid.weights=inception.npz")["fid"]
    assert numbers(gan) == {}
    assert overridden(gan, "--config.evals.fid.weights=inception.npz") == {}
    changed = ("--config.evals.fid.weights=w.npz", "--config.train.epochs=9.0")
    assert overridden(gan, *changed) == {"train.epochs": 9.0}


def test_overrides_are_a_sentence_beside_the_numbers_alone(config):
    paper = settings.Config.of(config("dim_cifar10", "local,bound=infonce,budget=paper"))
    changes = {"train.epochs": 2, "evals.mlp_paper.protocol": "mlp-v1"}
    said = "This run differs from its config by train.epochs=2, evals.mlp_paper.protocol=mlp-v1."
    assert published.differs(paper, changes) == said
    assert published.line(paper, changes).endswith(f"Table 1. {said}")
    short = settings.Config.of(config("dim_cifar10", "local,bound=infonce,budget=cpu"))
    assert published.differs(short, changes) == f"{short.published_differs} {said}"
    row = dict(eval="mlp_paper", representation="trained", tap="y", metric="accuracy", labels="all")
    rows = [dict(row, split="test"), dict(row, eval="svm", split="test")]
    assert published.set_beside(rows, paper, changes) == ("Hjelm et al. 2019, Table 1", said)
    assert [each["published"] for each in rows] == [69.13, None]
    assert published.set_beside(rows[1:], paper, changes) == (None, None)
    others = config("quickstart", "")
    assert "This run" not in published.line(settings.Config.of(others), changes)


def test_a_command_passes_the_config_of_the_file_on(monkeypatch):
    given = {}
    monkeypatch.setattr(
        "dim_jax.experiment.train_and_evaluate", lambda *_, **options: given.update(options)
    )
    arguments = ["main.py", f"--config={DIM}=smoke", "--config.train.epochs=7"]
    assert command.run(arguments, usage="") == 0
    assert given["written"] == commandline.parse(arguments[:2]).config
    assert given["written"]["train"]["epochs"] == 2
