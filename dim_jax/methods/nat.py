"""Noise as targets (NAT): every image is mapped to a random target on the unit sphere.

    loss = mean_i |y_i / |y_i| - target_i|^2 = 2 - 2 mean_i cos(y_i, target_i)

The targets are drawn once, one for each training image, and the set of targets is fixed. In every
`every`-th epoch, including the first one, targets are reassigned within each batch to minimise its
loss: first the assignment, by the features of this step, then the loss and its gradient with the
new targets. The assignment persists.

Source: Bojanowski & Joulin 2017; official code, main.lua (its epochs count from 0 too).
Differs: the loss is the mean over a batch, not the sum. The official code stores the index of each
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
      every: targets are reassigned in the epochs 0, every, 2 * every and so on.

    State: "targets" f32[examples,d], uniform on the sphere, for y of d features.

    Metrics: "nat/cosine": mean cosine similarity of y and its target. "nat/cost": the loss.
    "nat/gain": the decrease of the loss by the reassignment, 0 without one. "nat/moved": the
    fraction of the batch with a new target.

    Raises: contracts.UserError: a batch is larger than `examples`.
    """
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
        targets = state["targets"][index]
        epoch = step // (examples // len(images))
        order, gain = jax.lax.cond(
            epoch % every == 0, _reassign, _keep, jax.lax.stop_gradient(unit), targets
        )
        targets = targets[order]
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


def _reassign(unit: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The index i32[n] of each image's new target, and the decrease of the mean cost."""
    # In full precision on every device, because nearly equal costs are compared.
    order, gain = assignment.solve(jnp.dot(unit, targets.T, precision=jax.lax.Precision.HIGHEST))
    return order, 2 * gain


def _keep(unit: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    del unit
    return jnp.arange(len(targets), dtype=jnp.int32), jnp.zeros(())


def _check_size(batch: int, examples: int) -> None:
    if batch > examples:
        raise contracts.UserError(
            f"a batch has {batch} images and method.examples is {examples}; set it to the number "
            "of training images"
        )
