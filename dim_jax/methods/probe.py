"""Any method, watched by online classifiers: the player `probe` never touches the others.

The probes see training-mode features of a moving encoder, so their accuracy is a monitor for
curves, not an evaluation; `evaluate/` has those.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from dim_jax import contracts, losses
from dim_jax.nets import pure

# The functions of a generative method's parameters.
_OF_PARAMS = ("decode", "infer", "log_weights", "rate")


def make(
    *, method: contracts.Method, classifier: pure.Net, taps: Sequence[str]
) -> contracts.Method:
    """`method` with one more player, `probe`: a `classifier` for each of the named `taps`.

    Metrics: "probe/<tap>_accuracy", a fraction on the training batch.
    """

    def init(rng, batch):
        method_rng, probe_rng, loss_rng = jax.random.split(rng, 3)
        params, state = method.init(method_rng, batch)
        features = jax.eval_shape(method.loss, params, state, batch, loss_rng, 0).features
        unknown = [tap for tap in taps if tap not in features]
        if unknown:
            raise contracts.UserError(
                f"method.taps names '{unknown[0]}', and the wrapped method gives "
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
            {**params, "probe": {tap: head[0] for tap, head in heads.items()}},
            {**state, "probe": {tap: head[1] for tap, head in heads.items()}},
        )

    def loss(params, state, batch, rng, step):
        method_rng, probe_rng = jax.random.split(rng)
        inner = method.loss(_without_probe(params), _without_probe(state), batch, method_rng, step)
        total, metrics, stats = 0.0, {}, {}
        for index, tap in enumerate(taps):
            logits, stats[tap] = classifier.apply(
                params["probe"][tap],
                state["probe"][tap],
                inner.features[tap],
                train=True,
                rng=jax.random.fold_in(probe_rng, index),
            )
            value, accuracy = losses.classification_loss(logits, batch["labels"])
            total += value
            metrics[f"probe/{tap}_accuracy"] = accuracy
        return contracts.Step(
            {**inner.losses, "probe": total},
            {**inner.metrics, **metrics},
            {**inner.state, "probe": stats},
            inner.features,
        )

    return method._replace(
        init=init,
        loss=loss,
        represent=_without(method.represent),
        scores=_without(method.scores),
        generative=_watched(method.generative),
    )


def _watched(generative: contracts.Generative | None) -> contracts.Generative | None:
    """The same functions for params and state that have the player `probe` too."""
    if generative is None:
        return None
    return generative._replace(**{name: _without(getattr(generative, name)) for name in _OF_PARAMS})


def _without(function):
    """A function of params and state for those that have the player `probe` too, None of None."""

    def call(params, state, *arguments):
        return function(_without_probe(params), _without_probe(state), *arguments)

    return function and call


def _without_probe(tree):
    return {name: part for name, part in tree.items() if name != "probe"}
