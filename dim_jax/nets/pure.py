"""Networks as pure functions of (params, stats), made from Flax Linen modules."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from dim_jax import contracts

Tree = Any
_FORMS = ("all_pairs", "pairs", "same_location", "sides", "scores")  # of a critic


class Net(NamedTuple):
    """A network as pure functions; `stats` are its batch statistics, {} if it has none.

    init(rng, *inputs) -> (params, stats)
    apply(params, stats, *inputs, train, rng=None) -> (outputs, stats): in training mode batch norm
        uses the statistics of the batch and averages them into the returned `stats`; `rng` is
        needed only by networks with dropout
    fields(side) -> contracts.Fields: of the tap `local` of an encoder in images of this side; None
        where it has no such map, or its locations see all of the image
    """

    init: Callable[..., tuple[Tree, Tree]]
    apply: Callable[..., tuple[Any, Tree]]
    fields: Callable[[int], contracts.Fields] | None = None


class Critic(NamedTuple):
    """A score network T as pure functions. Scores are float32 and unbounded.

    init(rng, anchors f[n,d], candidates f[m,*l,c]) -> (params, stats)
    all_pairs(params, stats, anchors f[n,d], candidates f[m,*l,c], train) -> (f[n,m,*l], stats)
    pairs(params, stats, anchors f[n,d], candidates f[n,m,*l,c], train) -> (f[n,m,*l], stats):
        anchor i with its m candidates
    same_location(params, stats, anchors f[n,*l,d], candidates f[m,*l,c], train) -> (f[n,m,*l],
        stats): the anchors of each location with the candidates of that location
    sides(params, stats, anchors f[n,d], candidates f[m,*l,c], train) -> ((rows, columns), stats):
        what depends on one side only, with the batch statistics; trees of f[n,...] and f[m,...]
    scores(params, stats, rows, columns, train) -> (f[n,m,*l], stats): of any of them, so that
        `all_pairs` is scores(sides); a critic without these two is not scored in blocks
    axes: those of a candidate: 1, a vector f[c] as above; 3, a map f[h,w,c] in its place
    numbers: those that scoring stores of each pair, for the size of blocks
    """

    init: Callable[..., tuple[Tree, Tree]]
    all_pairs: Callable[..., tuple[jax.Array, Tree]]
    pairs: Callable[..., tuple[jax.Array, Tree]]
    same_location: Callable[..., tuple[jax.Array, Tree]]
    sides: Callable[..., tuple[tuple[Tree, Tree], Tree]] | None = None
    scores: Callable[..., tuple[jax.Array, Tree]] | None = None
    axes: int = 1
    numbers: int = 1


def _initialise(module: nn.Module, method: Callable | None, rng, *inputs) -> tuple[Tree, Tree]:
    # No "dropout" key is needed: initialisation runs in evaluation mode.
    variables = module.init(rng, *inputs, train=False, method=method)
    return variables["params"], variables.get("batch_stats", {})


def _run(module: nn.Module, method, params, stats, *inputs, train: bool, rng=None):
    variables = {"params": params, "batch_stats": stats} if stats else {"params": params}
    rngs = {} if rng is None else {"dropout": rng}
    if not (train and stats):
        return module.apply(variables, *inputs, train=train, rngs=rngs, method=method), stats
    outputs, updates = module.apply(
        variables, *inputs, train=True, rngs=rngs, method=method, mutable=["batch_stats"]
    )
    return outputs, updates["batch_stats"]


def net(
    module: nn.Module,
    check: Callable[..., None] | None = None,
    fields: Callable[[int], contracts.Fields] | None = None,
) -> Net:
    """The pure functions of a Linen module called as module(*inputs, train=...).

    `check(*inputs)` runs once, before initialisation, and raises on invalid inputs. `fields` is
    that of `Net`.
    """

    def init(rng, *inputs):
        if check is not None:
            check(*inputs)
        return _initialise(module, None, rng, *inputs)

    def apply(params, stats, *inputs, train: bool, rng=None):
        return _run(module, None, params, stats, *inputs, train=train, rng=rng)

    return Net(init, apply, fields)


def classified(encoder: Net, classifier: Net | None, tap: str) -> Net:
    """`with_head` of a classifier f[n,...] -> f[n,k], whose output is "logits"."""
    return with_head(encoder, classifier, tap, part="classifier", output="logits")


def with_head(encoder: Net, head: Net | None, tap: str, *, part: str, output: str) -> Net:
    """One network of an encoder and a head on one of its taps.

    Args:
      head: f[n,...] -> f[n,k]; without one the tap itself is the output.
      part: the name of the head: params and stats are {"encoder": .., part: ..}.
      output: the name of what the head returns, beside the encoder's taps.

    Raises: contracts.UserError: on initialisation or use, an encoder without this tap.
    """

    def read(taps):
        if tap not in taps:
            raise contracts.unknown("tap of the encoder", tap, taps)
        return taps[tap]

    def init(rng, images):
        params, stats = encoder.init(rng, images)
        params, stats = {"encoder": params}, {"encoder": stats}
        if head is not None:
            taps, _ = encoder.apply(params["encoder"], stats["encoder"], images, train=False)
            params[part], stats[part] = head.init(jax.random.fold_in(rng, 1), read(taps))
        return params, stats

    def apply(params, stats, images, *, train: bool, rng=None):
        encoder_rng, head_rng = (None, None) if rng is None else jax.random.split(rng)
        taps, encoder_stats = encoder.apply(
            params["encoder"], stats["encoder"], images, train=train, rng=encoder_rng
        )
        if head is None:
            return {**taps, output: read(taps)}, {"encoder": encoder_stats}
        made, head_stats = head.apply(
            params[part], stats[part], read(taps), train=train, rng=head_rng
        )
        return {**taps, output: made}, {"encoder": encoder_stats, part: head_stats}

    return encoder._replace(init=init, apply=apply)


def represent(encoder: Net) -> Callable[..., contracts.Taps]:
    """`represent` of a method with its encoder at params["encoder"]["encoder"]."""

    def represent_images(params, state, images):
        weights = params["encoder"]["encoder"]
        return contracts.probed(encoder.apply(weights, state["encoder"], images, train=False)[0])

    return represent_images


def square_images(name: str, side: int) -> Callable[[jax.Array], None]:
    """A `check` for `net` that images f[n,h,w,c] are side x side; messages name the encoder."""

    def check(images: jax.Array) -> None:
        if images.ndim != 4 or images.shape[1:3] != (side, side):
            size = "x".join(map(str, images.shape[1:3]))
            raise contracts.UserError(
                f"images are {size} pixels and the encoder '{name}' needs {side}x{side}; "
                f"set data.image_size={side} or choose another encoder"
            )

    return check


def check_images(generated: jax.Array, images: jax.Array, role: str) -> None:
    """Raises UserError if the output of a decoder or generator is not of the size of the images.

    Args:
      role: the name of the network among the method's arguments.
    """
    if generated.shape != images.shape:
        got, wanted = ("x".join(map(str, x.shape[1:])) for x in (generated, images))
        raise contracts.UserError(
            f"the {role} makes images of {got} and the data has {wanted}; set the argument shape "
            f"of the method's {role} to {images.shape[1:]}"
        )


def critic(module: nn.Module, *, axes: int = 1, numbers: int = 1) -> Critic:
    """The pure functions of a Linen module with methods of the same names, from all_pairs on."""
    cls = type(module)

    def init(rng, anchors, candidates):
        return _initialise(module, cls.all_pairs, rng, anchors, candidates)

    def pure(method):
        if method is None:
            return None

        def apply(params, stats, anchors, candidates, *, train: bool):
            return _run(module, method, params, stats, anchors, candidates, train=train)

        return apply

    forms = {name: pure(getattr(cls, name, None)) for name in _FORMS}
    return Critic(init, **forms, axes=axes, numbers=numbers)
