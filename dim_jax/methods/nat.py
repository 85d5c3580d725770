"""Noise as targets: every image learns to be its own random point on the unit sphere.

    loss = mean_i |y_i / |y_i| - target_i|^2 = 2 - 2 mean_i cos(y_i, target_i)

The targets are drawn once, one for each training image, and stay the same set of points for ever.
In every `every`-th epoch, the first one included, the images of a batch exchange theirs so that
the loss of that batch is the smallest: first the exchange, by the features of this step, then the
loss and its gradient with the new targets. The exchange is kept.

Source: Bojanowski & Joulin 2017; official code, main.lua (its epochs count from 0 too).
Differs: the loss is the mean over a batch, not the sum. The official table has the number of each
image's target instead of the target.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.losses import assignment, priors
from dim_jax.nets import pure


def make(*, encoder: pure.Net, examples: int, every: int) -> contracts.Method:
    """The NAT method; one player, `encoder`.

    Args:
      examples: the number of training images; `batch["index"]` counts them from 0, and no image
        is in a batch twice.
      every: targets are exchanged in the epochs 0, every, 2 * every and so on.

    State: "targets" f32[examples,d], uniform on the sphere, for y of d features.

    Metrics: "nat/cosine": mean cosine of y to the targets used. "nat/cost": the loss. "nat/gain":
    by how much the exchange lowered it, 0 without one. "nat/moved": the fraction of the batch
    whose target is another one now.

    Raises: contracts.UserError: `every` or `examples` is not positive; more images in a batch than
      there are.
    """
    for name, value in (("every", every), ("examples", examples)):
        if value < 1:
            raise contracts.UserError(f"method.{name} is {value}; set it to 1 or more")
    sphere = priors.sphere()

    def init(rng, batch):
        encoder_rng, target_rng = jax.random.split(rng)
        images = batch["images"][0]
        _check_size(len(images), examples)
        params, stats = encoder.init(encoder_rng, images)
        taps, _ = encoder.apply(params, stats, images, train=False)
        targets = sphere.sample(target_rng, (examples, taps["y"].shape[-1]))
        return {"encoder": {"encoder": params}}, {"encoder": stats, "targets": targets}

    def loss(params, state, batch, rng, step):
        images, index = batch["images"][0], batch["index"]
        taps, stats = encoder.apply(
            params["encoder"]["encoder"], state["encoder"], images, train=True, rng=rng
        )
        unit = sphere.squash(taps["y"])
        own = state["targets"][index]
        epoch = step // (examples // len(images))
        order, gain = jax.lax.cond(
            epoch % every == 0, _exchanged, _kept, jax.lax.stop_gradient(unit), own
        )
        targets = own[order]
        cost = jnp.mean(jnp.sum((unit - targets) ** 2, axis=-1))
        metrics = {
            "nat/cosine": jnp.mean(jnp.sum(unit * targets, axis=-1)),
            "nat/cost": cost,
            "nat/gain": gain,
            "nat/moved": jnp.mean(order != jnp.arange(len(order))),
        }
        new_state = {"encoder": stats, "targets": state["targets"].at[index].set(targets)}
        features = contracts.probed(taps)
        return contracts.Step({"encoder": cost}, metrics, new_state, features)

    return contracts.Method(init, loss, pure.represent(encoder), examples=examples)


def _exchanged(unit: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which of the batch's targets each image has now, and by how much the mean cost fell."""
    # In full precision on every device: it is a comparison of near equals.
    order, gain = assignment.solve(jnp.dot(unit, own.T, precision=jax.lax.Precision.HIGHEST))
    return order, 2 * gain


def _kept(unit: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
    del unit
    return jnp.arange(len(own), dtype=jnp.int32), jnp.zeros(())


def _check_size(batch: int, examples: int) -> None:
    if batch > examples:
        raise contracts.UserError(
            f"a batch has {batch} images and method.examples is {examples}; set it to the number "
            "of training images"
        )
