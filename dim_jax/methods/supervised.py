"""The supervised reference: the same encoder and a classifier, trained end to end on labels.

Source: Hjelm et al. 2019, Table 1, first row (no augmentation).
"""

import jax

from dim_jax import contracts, losses
from dim_jax.nets import pure


def make(*, encoder: pure.Net, classifier: pure.Net, tap: str) -> contracts.Method:
    """Cross-entropy of `classifier` on the encoder's `tap`; one player, `encoder`.

    Images without a label (-1) weigh nothing. Gradients may be accumulated over parts of a batch:
    the same loss, where every part has as many labels as the others.
    """

    def init(rng, batch):
        images = batch["images"][0]
        params, stats = encoder.init(rng, images)
        taps, _ = encoder.apply(params, stats, images, train=False)
        head_params, head_stats = classifier.init(rng, taps[tap])
        return (
            {"encoder": {"encoder": params, "classifier": head_params}},
            {"encoder": stats, "classifier": head_stats},
        )

    def loss(params, state, batch, rng, step):
        del step
        own = params["encoder"]
        taps, stats = encoder.apply(
            own["encoder"],
            state["encoder"],
            batch["images"][0],
            train=True,
            rng=jax.random.fold_in(rng, 0),  # dropout of the encoder, if it has any
        )
        logits, head_stats = classifier.apply(
            own["classifier"], state["classifier"], taps[tap], train=True, rng=rng
        )
        value, accuracy = losses.classification_loss(logits, batch["labels"])
        return contracts.Step(
            {"encoder": value},
            {"accuracy": accuracy},
            {"encoder": stats, "classifier": head_stats},
            contracts.probed(taps),
        )

    return contracts.Method(init, loss, pure.represent(encoder), per_example=True)
