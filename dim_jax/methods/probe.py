"""Online probes of any method: classifiers that are trained beside it without affecting it.

A method with probes can be wrapped again, with a player of another name.

The probes see training-mode features of an encoder that is still training, so their accuracy is for
monitoring only; evaluations are in `evaluate/`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from dim_jax import contracts, losses
from dim_jax.nets import pure

# The functions of a generative method that take its parameters.
_WITH_PARAMS = ("decode", "infer", "log_weights", "rate")


def make(
    *,
    method: contracts.Method,
    classifier: pure.Net,
    taps: Sequence[str],
    player: str = "probe",
    clip: float | None = None,
    penalty: float = 0.0,
) -> contracts.Method:
    """`method` with one more player: a `classifier` for each of the named `taps`.

    Args:
      player: the name of the new player, different from all others.
      clip, penalty: of the logits in its loss (`losses.classification_loss`).

    Metrics: "<player>/<tap>_accuracy", a fraction on the training batch.
    """

    def init(rng, batch):
        method_rng, probe_rng, loss_rng = jax.random.split(rng, 3)
        params, state = method.init(method_rng, batch)
        if player in params:
            raise contracts.UserError(
                f"the wrapped method has a player '{player}' already; set method.player to "
                "another name"
            )
        features = jax.eval_shape(method.loss, params, state, batch, loss_rng, 0).features
        unknown = [tap for tap in taps if tap not in features]
        if unknown:
            raise contracts.UserError(
                f"method.taps names '{unknown[0]}', and the wrapped method has the taps "
                f"{', '.join(features)}; use those"
            )
        heads = {
            tap: classifier.init(
                jax.random.fold_in(probe_rng, index),
                jnp.zeros(features[tap].shape, features[tap].dtype),
            )
            for index, tap in enumerate(taps)
        }
        return (
            {**params, player: {tap: head[0] for tap, head in heads.items()}},
            {**state, player: {tap: head[1] for tap, head in heads.items()}},
        )

    def loss(params, state, batch, rng, step):
        method_rng, probe_rng = jax.random.split(rng)
        inner = method.loss(*without_player(params, state), batch, method_rng, step)
        total, metrics, stats = 0.0, {}, {}
        for index, tap in enumerate(taps):
            logits, stats[tap] = classifier.apply(
                params[player][tap],
                state[player][tap],
                inner.features[tap],
                train=True,
                rng=jax.random.fold_in(probe_rng, index),
            )
            value, accuracy = losses.classification_loss(
                logits, batch["labels"], clip=clip, penalty=penalty
            )
            total += value
            metrics[f"{player}/{tap}_accuracy"] = accuracy
        return contracts.Step(
            {**inner.losses, player: total},
            {**inner.metrics, **metrics},
            {**inner.state, player: stats},
            inner.features,
        )

    def without_player(*trees):
        """The params and the state of the wrapped method."""
        return [{name: tree[name] for name in tree if name != player} for tree in trees]

    def wrap(function):
        """Makes a function of params and state ignore this player's; None stays None."""

        def call(params, state, *arguments):
            return function(*without_player(params, state), *arguments)

        return function and call

    generative = method.generative
    if generative is not None:
        wrapped = {name: wrap(getattr(generative, name)) for name in _WITH_PARAMS}
        generative = generative._replace(**wrapped)
    return method._replace(
        init=init,
        loss=loss,
        represent=wrap(method.represent),
        scores=wrap(method.scores),
        embedded=wrap(method.embedded),
        generative=generative,
    )
