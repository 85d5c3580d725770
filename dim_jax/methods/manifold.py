"""Image manifolds: layers that embed image patches, trained alone or with a classifier on top.

    loss = supervised * cross-entropy - sum over layers l of information_l * I_l + entropy_l * H_l

I_l is a lower bound of the information between a patch and its embedding, in nats: each layer maps
a patch to a normal distribution N(mean, variance) in its embedding space, z^ is a sample of it, and
`bounds.known_conditional` compares its density with that under the distributions of the other
patches. H_l is the entropy of the mean response, which is large if all channels are used.

Source: Klindt, Balle, Shlens and Simoncelli 2020 (poster); see dim_jax/nets/manifold.py.
Differs: what the poster leaves open. It has no legible formula of I; the one above is reconstructed
  from the distributions that it fits (it cites CPC v2, so a learned critic is the other reading).
  It writes H as the mean of the responses' entropies, which would flatten every response. Weights,
  batch size and number of locations are arguments.
"""

from collections.abc import Sequence

import jax

from dim_jax import contracts, losses
from dim_jax.losses import manifold_information
from dim_jax.nets import pure


def make(
    *,
    encoder: pure.Net,
    classifier: pure.Net | None,
    tap: str,
    supervised: float,
    information: Sequence[float],
    entropy: Sequence[float],
    locations: int,
    negatives: str,
) -> contracts.Method:
    """The manifold method; one player, `encoder`.

    Args:
      encoder: one of `nets.manifold`.
      classifier: on the encoder's `tap`; None if the tap itself is the logits f[n,k].
      supervised: weight of the cross-entropy, which ignores images without a label (-1). With 0
        there is no cross-entropy and training is unsupervised.
      information, entropy: weights of I and H for each layer, in the order of the layers.
      locations: number of locations over which I is averaged, drawn for each image in each step.
      negatives: "patches", locations are drawn independently for each image, so that I compares
        patches anywhere; "same_location", they are shared, so that patches are compared with those
        at the same place in other images.

    Metrics, in nats: "manifold/information_1", "manifold/entropy_1" and so on, counted from 1, also
    if their weights are 0. "accuracy" if `supervised` is not 0.

    Taps of `represent`: conv, fc, y and, if `supervised` is not 0, "logits".

    Raises:
      UserError: not one weight for each layer, weights below 0, or all 0; unknown negatives.
    """
    _check(supervised, information, entropy, locations, negatives)
    network = pure.classified(encoder, classifier, tap)

    def init(rng, batch):
        images = batch["images"][0]
        params, state = network.init(rng, images)
        taps, _ = network.apply(params, state, images, train=False)
        _check_layers(taps, information, entropy)
        return {"encoder": params}, state

    def loss(params, state, batch, rng, step):
        del step
        network_rng, draw_rng = jax.random.split(rng)
        taps, state = network.apply(
            params["encoder"], state, batch["images"][0], train=True, rng=network_rng
        )
        total, metrics = 0.0, {}
        if supervised:
            value, metrics["accuracy"] = losses.classification_loss(taps["logits"], batch["labels"])
            total += supervised * value
        for index, layer in enumerate(taps["embedded"]):
            key = jax.random.fold_in(draw_rng, index)
            layer_information = manifold_information.layer_information(
                key, layer, locations=locations, negatives=negatives
            )
            layer_entropy = losses.batch_entropy(layer.responses)
            metrics[f"manifold/information_{index + 1}"] = layer_information
            metrics[f"manifold/entropy_{index + 1}"] = layer_entropy
            total -= information[index] * layer_information + entropy[index] * layer_entropy
        return contracts.Step({"encoder": total}, metrics, state, contracts.probed(taps))

    def represent(params, state, images):
        taps, _ = network.apply(params["encoder"], state, images, train=False)
        logits = {"logits": taps["logits"]} if supervised else {}
        return {**contracts.probed(taps), **logits}

    def embedded(params, state, images):
        return network.apply(params["encoder"], state, images, train=False)[0]["embedded"]

    return contracts.Method(init, loss, represent, embedded=embedded)


def _check(supervised, information, entropy, locations, negatives) -> None:
    if negatives not in manifold_information.NEGATIVES:
        raise contracts.unknown("negatives", negatives, manifold_information.NEGATIVES)
    weights = (supervised, *information, *entropy)
    if min(weights) < 0 or max(weights) <= 0:
        raise contracts.UserError(
            f"method.supervised is {supervised}, information {tuple(information)} and entropy "
            f"{tuple(entropy)}; none can be below 0, and at least one has to be above 0"
        )
    if locations < 1:
        raise contracts.UserError(f"method.locations is {locations}; set it to 1 or more")


def _check_layers(taps: contracts.Taps, information, entropy) -> None:
    if "embedded" not in taps:
        raise contracts.UserError(
            "the method 'manifold' needs an encoder of manifold layers; set method.encoder.name to "
            "manifold"
        )
    count = len(taps["embedded"])
    if not len(information) == len(entropy) == count:
        raise contracts.UserError(
            f"the encoder has {count} manifold layers, method.information {len(information)} "
            f"weights and method.entropy {len(entropy)}; give one weight of each for every layer"
        )
