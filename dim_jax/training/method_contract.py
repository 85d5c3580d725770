"""The contract of a method, checked by shapes where a method is traced: a step pays nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.training import reach, signs


def initialise(
    method: contracts.Method, rng: jax.Array, batch: contracts.Batch
) -> tuple[Mapping[str, Any], contracts.Tree, tuple[str, ...]]:
    """(params, state) of the method's `init`, checked with the shapes of one step.

    With them the paths of the parameters that no gradient reaches (`reach`).

    Raises:
      UserError: the first part of the method's results that breaks the contract.
    """
    made = method.init(rng, batch)
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], Mapping)):
        raise contracts.UserError(
            f"the method's init returned {_kinds(made)}; return (params, state) with params "
            "{player: its parameters}"
        )
    params, state = made
    # The batch is no argument: losses may look at its values, as for labels of too few classes.
    traced, step = jax.make_jaxpr(
        lambda *trees: method.loss(*trees, batch, jax.random.key(0), 0), return_shape=True
    )(params, state)
    check_step(step, params)
    _check_state(state, step.state)
    return params, state, reach.unreached_parameters(traced, step, params)


def check_patches(
    method: contracts.Method, eighths: int, batch: contracts.Batch, images: jax.Array
) -> None:
    """Checks that the encoder gives mosaics of patches (`augment.patches`) the taps of images.

    Args:
      eighths: of the side of an image that a patch spans.
      batch: of mosaics.
      images: f[n,h,w,c], those that they are of.

    Raises:
      UserError: an encoder without crops of this size; images that it does not take.
    """

    def taps(views):
        given = {**batch, "images": views}
        return jax.eval_shape(
            lambda: method.represent(*method.init(jax.random.key(0), given), views[0])
        )

    mosaics = batch["images"]
    of_images = taps(jnp.broadcast_to(images, (len(mosaics), *images.shape)))
    try:
        fits = taps(mosaics) == of_images
    except contracts.UserError:
        fits = False
    if not fits:
        raise contracts.UserError(
            f"augment.patches is {eighths} and the encoder does not cut images into crops that "
            f"span {eighths} eighths of a side; set augment.patches to None, or to the eighths of "
            "an encoder of crops (2 unless it has the setting)"
        )


def check_step(step: Any, params: Mapping[str, Any]) -> None:
    """Checks what a method's `loss` returned, as arrays or their shapes.

    Raises:
      UserError: no `Step`; losses of other players than `params` has; a loss or a metric that is
        not a scalar; a metric with the name of a loss.
    """
    if not isinstance(step, contracts.Step):
        raise contracts.UserError(
            f"the method's loss returned {type(step).__name__}; return "
            "contracts.Step(losses, metrics, state, features)"
        )
    for field in ("losses", "metrics", "features"):
        value = getattr(step, field)
        if not isinstance(value, Mapping):
            raise contracts.UserError(
                f"Step.{field} of the method is {type(value).__name__}; return a dict by name"
            )
    if step.losses.keys() != params.keys():
        raise contracts.UserError(
            f"the method's losses are {sorted(step.losses)} and its players {sorted(params)}; "
            "return one loss per player"
        )
    for player, loss in step.losses.items():
        _check_scalar(f"the loss of the player '{player}'", loss)
        if not jnp.issubdtype(kind := jnp.result_type(loss), jnp.floating):
            raise contracts.UserError(
                f"the loss of the player '{player}' is {kind}; return a float32"
            )
    for name, value in step.metrics.items():
        _check_scalar(f"the metric '{name}'", value)
        if str(name).startswith(("loss/", "time/", *signs.PREFIXES)):
            raise contracts.UserError(
                f"the metric '{name}' has a name that the trainer uses; begin it with its term"
            )


def _kinds(made: Any) -> str:
    if not isinstance(made, tuple):
        return type(made).__name__
    return f"({', '.join(type(part).__name__ for part in made)})"


def _check_scalar(what: str, value: Any) -> None:
    if shape := jnp.shape(value):
        raise contracts.UserError(
            f"{what} has the shape {shape}; return a scalar, such as its mean over the examples"
        )


def _check_state(before: contracts.Tree, after: contracts.Tree) -> None:
    former, new = dict(_leaves(before)), dict(_leaves(after))
    for path in [*former, *(path for path in new if path not in former)]:
        if former.get(path) != new.get(path):
            raise contracts.UserError(
                f"the method's state '{path}' changes from {former.get(path, 'nothing')} to "
                f"{new.get(path, 'nothing')} in a step; return the same structure, shapes and "
                "dtypes"
            )


def _leaves(tree: contracts.Tree) -> Iterator[tuple[str, str]]:
    """(path, dtype and shape) of each array, such as ("encoder/mean", "float32[8]")."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        sizes = ",".join(map(str, jnp.shape(leaf)))
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        yield name, f"{jnp.result_type(leaf)}[{sizes}]"
