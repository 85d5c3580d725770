"""Neural dependency measure: how far the coordinates of a representation are from independent.

Source: Hjelm et al. 2019, section 4.1 and appendix A.6; official DIM code, ndm_eval.py.
"""

import functools
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features, kinds, protocols
from dim_jax.evaluate.measures import critic_fit
from dim_jax.evaluate.probes import labelled
from dim_jax.nets import heads

NEEDS_LABELS = False
REPRESENTATIONS = "encoders"
TAPS = ("y",)
PROTOCOL = kinds.Dependence

_WIDTHS = (1000, 200)


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "ndm-v1",
    taps: Iterable[str] = TAPS,
    drawn: bool = False,
) -> dict[str, float]:
    """Estimated total correlation of each tap in nats, before and after a sigmoid.

        KL( p(y) || product over coordinates of p(y_k) )

    as the Donsker-Varadhan value of a critic that tells representations from ones whose every
    coordinate is permuted independently along the batch. 0 = independent; smaller is nearer to a
    factorial prior, and to nothing at all: constant coordinates are independent too.

    The sigmoid moves each coordinate for itself and changes no total correlation. What differs
    between the two numbers is what the critic can see: it sees little of coordinates that the
    sigmoid saturates, or of inputs that it gets in their own, small scale.

    Args:
      protocol: a name of `protocols.PROTOCOLS`; it says on which images the critic is trained and
        how. All protocols report the test images; a value that is also trained on them is inflated.
      drawn: of a method whose codes are random (VAE), judge codes drawn from the posteriors, one
        for each image, in the place of their means y. The prior acts on the draws: where a
        posterior is wide its mean tells little, and means of many such coordinates may depend on
        each other the more the closer the draws are to the prior.

    Returns:
      {"<tap>/ndm", "<tap>/ndm_after_sigmoid"}, or {"y/ndm_of_draws"}

    Raises:
      UserError: an unknown protocol or tap, too few images, a value that is not finite, or
        `drawn` of a method without posteriors.
    Source: Hjelm et al. 2019, appendix A.6; official DIM code, models/ndm.py: trained by the KL
      objective of f-GAN, reported as Donsker-Varadhan.
    Differs: as the entries of the protocols say; the KL is that of the critic T, optimal at
      1 + log ratio, where the official code scores with T - 1.
    """
    settings = protocols.find(protocol, PROTOCOL)
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    if drawn:
        rows = {
            name: features.drawn_codes(frozen, splits[name], jax.random.fold_in(rng, index))
            for index, name in enumerate(sorted({settings.trained_on, "test"}))
        }
        return {"y/ndm_of_draws": total_correlation(settings, rows, seed)}
    results = {}
    for tap in taps:
        rows = {
            name: features.extract(frozen, splits[name], (tap,))[tap]
            for name in {settings.trained_on, "test"}
        }
        results[f"{tap}/ndm"] = total_correlation(settings, rows, seed)
        rows = {name: np.asarray(jax.nn.sigmoid(part)) for name, part in rows.items()}
        results[f"{tap}/ndm_after_sigmoid"] = total_correlation(settings, rows, seed)
    return results


def total_correlation(
    settings: kinds.Dependence, rows: Mapping[str, np.ndarray], seed: int
) -> float:
    """The total correlation of the rows f[n,d] of "test", in nats, as `settings` estimate it.

    Args:
      rows: "test" and the split that settings.trained_on names.
    """
    (train,) = critic_fit.subset((rows[settings.trained_on],), settings.examples, seed)
    test = train if settings.trained_on == "test" else rows["test"]
    if settings.standardise:
        shift, scale = labelled.statistics(train)
        train, test = ((part - shift) * scale for part in (train, test))
    return critic_fit.estimate(_problem(), (train, train), (test, test), settings.fit, seed)


def _columns(key: jax.Array, rows: jax.Array, _, products: int) -> tuple[jax.Array]:
    """f[n, 1 + products, d]: the rows, then copies with every coordinate permuted for itself."""
    keys = jax.random.split(key, products)
    shuffled = [jax.random.permutation(each, rows, axis=0, independent=True) for each in keys]
    return (jnp.stack([rows, *shuffled], axis=1),)


def _kullback_leibler(scores, positives, state):
    return bounds.nwj(scores, positives), state


@functools.cache
def _problem() -> critic_fit.Problem:
    return critic_fit.Problem(heads.discriminator(widths=_WIDTHS), _columns, _kullback_leibler)
