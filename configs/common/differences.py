"""The differences of a smaller budget from the published setting, in words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Parts of a method's block that are networks, and the ends of keys that are their sizes.
_NETWORK = re.compile(
    r"\.(encoder|decoder|generator|\w*critic|\w*discriminator|coordinates|projector|predictor)\b"
)
_SIZES = ("width", "widths", "hidden", "features", "base", "blocks", "depth", "n_depth")
_SIZES += ("n_rkhs", "ndf", "channels")
_IMAGES = re.compile(r"data\.(\w+_split|seeds|eval_train_images)|evals\.\w+\.data\..*")
# The schedule of saving and dispatching changes no number; the classifier is a monitor's.
_WITHOUT_EFFECT = re.compile(
    r"train\.(save_epochs|steps_per_dispatch)|(method\.)+classifier\..*|players\.\w*probe\..*"
)


def describe(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Phrases such as "10 epochs in place of 1,000", "smaller networks" and "fewer images".

    Args:
      old, new: the values of the changed keys; old has None where the config had none.
    """
    changed = [key for key in new if new[key] != old[key] and not _WITHOUT_EFFECT.fullmatch(key)]
    return [*dict.fromkeys(_phrases(changed, old, new))]


def _phrases(changed: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if "train.epochs" in changed:
        yield f"{new['train.epochs']:,g} epochs in place of {old['train.epochs']:,g}"
    if "train.batch_size" in changed:
        yield f"batches of {new['train.batch_size']} in place of {old['train.batch_size']}"
    if any(_IMAGES.fullmatch(key) for key in changed):
        yield "fewer images"
    networks = [key for key in changed if key.startswith("method.") and _NETWORK.search(key)]
    if networks:
        are_sizes = all(key.rpartition(".")[2] in _SIZES for key in networks)
        roles = dict.fromkeys(_NETWORK.search(key)[1] for key in networks)
        yield f"{'smaller' if are_sizes else 'other'} networks ({', '.join(roles)})"
    players = [key for key in changed if key.startswith("players.")]
    if players:
        yield "other optimizers" if "players.encoder" in players else "other learning rates"
    told = {"train.epochs", "train.batch_size", *networks, *players}
    for key in changed:
        if key not in told and not _IMAGES.fullmatch(key):
            yield f"{key}={new[key]}"
