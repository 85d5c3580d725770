"""The supervised baseline: encoder and classifier, trained end to end on labels.

Source: Hjelm et al. 2019, Table 1, first row (no augmentation).
"""

from dim_jax import contracts, losses
from dim_jax.nets import pure


def make(*, encoder: pure.Net, classifier: pure.Net | None, tap: str) -> contracts.Method:
    """Cross-entropy of `classifier` on the encoder's `tap`; one player, `encoder`.

    Images without a label (-1) are ignored. Gradient accumulation gives the same loss if every part
    of the batch has the same number of labels. `represent` also returns the tap "logits".

    Args:
      classifier: None if the tap itself is the logits f[n,k].
    """
    network = pure.classified(encoder, classifier, tap)

    def init(rng, batch):
        params, state = network.init(rng, batch["images"][0])
        return {"encoder": params}, state

    def loss(params, state, batch, rng, step):
        del step
        taps, state = network.apply(
            params["encoder"], state, batch["images"][0], train=True, rng=rng
        )
        value, accuracy = losses.classification_loss(taps["logits"], batch["labels"])
        features = contracts.probed(taps)
        return contracts.Step({"encoder": value}, {"accuracy": accuracy}, state, features)

    def represent(params, state, images):
        taps, _ = network.apply(params["encoder"], state, images, train=False)
        return {**contracts.probed(taps), "logits": taps["logits"]}

    return contracts.Method(init, loss, represent, per_example=True)
