"""The parts that configs share: budgets as changes, the table of data sets, and the short runs."""

import re

import config_files
import ml_collections
import pytest
from ml_collections.config_dict import placeholder

from configs import common
from configs.common import datasets, infomax


def block():
    return common.config(
        data=common.data("cifar10"),
        method=dict(name="dim", widths=(8, 8), tap="y"),
        players=dict(encoder=common.adam(1e-4)),
        train=common.train(batch_size=64, epochs=100, steps_per_dispatch=10, save_epochs=1),
        evals=common.evals(labels_per_class=10),
    )


def test_a_budget_is_a_few_changes_of_the_published_config():
    changes = {
        **{"train.epochs": 2, "method.widths": (4,), "data.image_size": 16, "seed": 3},
        **common.faster("encoder", learning_rate=0.5),
    }
    published = block().to_dict()
    assert common.budgeted(block(), "paper", cpu=changes).to_dict() == published
    assert common.budgeted(block(), "smoke", cpu=changes).to_dict() == published
    short = common.budgeted(block(), "cpu", cpu=changes).to_dict()
    assert short["train"] == {**published["train"], "epochs": 2.0}
    assert isinstance(short["train"]["epochs"], float)
    assert short["method"] == {**published["method"], "widths": (4,)}
    assert short["data"]["image_size"] == 16 and short["seed"] == 3
    encoder = short["players"]["encoder"]
    assert encoder == common.adam(0.5, decay=True)
    assert short["evals"] == published["evals"]


def parts(config):
    """(path, object) of all blocks and references of a config."""
    for name, value in config.items(preserve_field_references=True):
        if isinstance(value, ml_collections.ConfigDict | ml_collections.FieldReference):
            yield name, value
        if isinstance(value, ml_collections.ConfigDict):
            yield from ((f"{name}.{path}", part) for path, part in parts(value))


@pytest.mark.parametrize("name", config_files.NAMES)
def test_no_two_blocks_are_one_object(name):
    """A change of one player's optimizer on the command line changes that of no other player."""
    for argument in ("", "smoke"):
        paths = {}
        for path, part in parts(config_files.made(name, argument)):
            other = paths.setdefault(id(part), path)
            assert other == path, f"{path} is {other}"


def test_blocks_that_a_config_uses_twice_are_copied():
    shared = dict(rate=0.5, schedule=dict(name="constant"), clip=placeholder(float))
    players = ml_collections.ConfigDict(dict(one=shared, two=shared, three=[0.5]))
    config = common.config(**{**block(), "players": players})
    config.players.one.rate, config.players.one.schedule.name = 2.0, "cosine"
    config.players.one.clip = 3.0
    assert config.players.to_dict() == dict(
        one=dict(rate=2.0, schedule=dict(name="cosine"), clip=3.0),
        two=dict(rate=0.5, schedule=dict(name="constant"), clip=None),
        three=[0.5],
    )


@pytest.mark.parametrize("key", ["train.epoch", "trian.epochs", "evals.mpl.taps", "sed"])
def test_a_change_of_a_key_that_is_not_there_is_refused(key):
    with pytest.raises(KeyError, match=r"trian|mpl|no key"):
        common.budgeted(block(), "cpu", cpu={key: 1})


def test_changes_of_a_block():
    assert common.under("method.encoder", {"width": 4}) == {"method.encoder.width": 4}


@pytest.mark.parametrize("name", datasets.DATA)
def test_the_images_of_short_runs(name):
    smoke = datasets.smoke(name)
    parts = smoke["data.train_split"].split("+")
    stops = [int(re.fullmatch(r"\w+\[:(\d+)\]", part)[1]) for part in parts]
    assert sum(stops) == datasets.SMOKE_EXAMPLES and len(set(stops)) == 1
    assert smoke["data.test_split"].endswith("[:256]")
    splits = datasets.splits(name)
    assert [part.partition("[")[0] for part in parts] == splits["train_split"].split("+")
    images = datasets.images(name, **splits)
    sides = {images["data"].image_size, images["augment"].crop}
    assert sides <= {None, datasets.DATA[name].side}


@pytest.mark.parametrize("name", config_files.NAMES)
def test_data_sets_are_those_of_the_table(name):
    """Classes of monitors, of configs that name a data set and not a folder."""
    found = config_files.load(name, "")
    table = {dataset.name: dataset for dataset in datasets.DATA.values()}
    known = table.get(found["data"]["name"])
    if known is not None and found["method"]["name"] == "probe":
        classifier = found["method"]["classifier"]
        assert classifier.get("classes", classifier.get("outputs")) == known.classes


def test_published_settings_of_dim():
    """Hjelm et al. 2019 and the official code; a long run at the published rate."""
    found = config_files.load("dim_cifar10", "")
    method = found["method"]["method"]
    assert (method["alpha"], method["beta"], method["gamma"]) == (0.0, 1.0, 0.1)
    assert method["local_critic"]["width"] == 2048
    assert method["global_critic"]["widths"] == (512, 512)
    assert method["encoder"]["width"] == 64 and found["train"]["epochs"] == 1000
    assert found["players"]["encoder"] == common.adam(1e-4)
    short = config_files.load("dim_cifar10", "cpu")
    assert short["players"]["encoder"] == common.adam(1e-3, decay=True)
    assert short["players"]["discriminator"] == short["players"]["encoder"]
    assert short["players"]["probe"] == found["players"]["probe"]
    assert set(infomax.WEIGHTS) == {"local", "global", "mixed"}


def test_words_that_are_not_there_name_the_nearest():
    with pytest.raises(ValueError, match="unknown config argument 'judge=mlp'"):
        config_files.load("dim_cifar10", "judge=mlp")
