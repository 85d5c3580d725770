"""Halves of digits: claims, class means, targets of bounds, the shared latent, on tiny cases."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.nets import flows
from experiments import (
    critic_training,
    fragments_representations,
    halves_of_digits,
    representation_figure,
    shared_latent,
    unreadable,
)
from experiments import mi_and_representations as study
from experiments import representation_claims as claims

RANDOM = np.random.default_rng(0)


def digits(images=1000):
    """All pixels but the last, which hardly varies, tell the class through noise."""
    labels = np.arange(images) % 10
    patterns = RANDOM.normal(size=(2, 10, 8))
    x, y = (pattern[labels] + RANDOM.normal(size=(images, 8)) for pattern in patterns)
    x[:, 7] *= 0.01
    return halves_of_digits.Halves(np.float32(x), np.float32(y), labels.astype(np.int32))


def test_shifts_give_all_classes_one_mean_with_the_least_variance():
    labels = np.repeat(np.arange(10), 30)
    features = RANDOM.normal(size=(300, 12)) + RANDOM.normal(size=(10, 12))[labels]
    targets = RANDOM.normal(size=(300, 3)) + labels[:, None]
    v = unreadable.equal_means(features, targets, labels, 1e-9)
    moved = targets + features @ v

    def means(rows):
        return np.array([rows[labels == k].mean(0) for k in range(10)])

    np.testing.assert_allclose(means(moved), moved.mean(0)[None].repeat(10, 0), atol=1e-4)
    # Any other shift that leaves the means equal varies more within classes.
    differences = means(features) - features.mean(0)
    free = np.linalg.svd(differences)[2][-1]  # shifts no class mean
    assert np.abs(differences @ free).max() < 1e-9
    within = features - means(features)[labels]
    least = np.var(within @ v, axis=0)
    for step in (-0.1, 0.1):
        assert (np.var(within @ (v + step * free[:, None]), axis=0) > least).all()


def test_a_bijection_becomes_unreadable_and_keeps_what_hardly_varies():
    halves = digits()
    flow = flows.affine_couplings(couplings=2, widths=(16,))
    plan = unreadable.Plan(steps=20, couplings=2)
    x = jnp.asarray(halves.x)
    (_, start), (count, params) = unreadable.train(flow, halves._replace(x=x), plan, 0)
    before, after = (np.asarray(jax.jit(flow.forward)(each, x)[0]) for each in (start, params))
    np.testing.assert_array_equal(before, halves.x)
    assert count == 2 and flow.error(params, x) < 1e-4
    np.testing.assert_array_equal(after[:, 7], halves.x[:, 7])

    order = jax.random.permutation(jax.random.key(0), len(x))
    half = np.asarray(order[len(x) // 2 :])  # that the last layers are fitted to

    def spread(codes):
        classes = [codes[half][halves.labels[half] == k, :7].mean(0) for k in range(10)]
        return np.std(classes, axis=0)

    assert (spread(before) > 0.5).all() and (spread(after) < 1e-4).all()


def test_a_target_is_approached_from_both_sides():
    scores = jnp.asarray(RANDOM.normal(size=(6, 6)), jnp.float32)
    value = critic_training.ESTIMATORS["infonce"].value(scores, jnp.zeros(6))
    slopes = []
    for target in (float(value) - 0.1, float(value) + 0.1):
        surrogate = halves_of_digits.objective("infonce", target).surrogate
        loss, slope = jax.value_and_grad(lambda s, f=surrogate: f(s, None, ())[0])(scores)
        assert loss == pytest.approx(-0.1, abs=1e-5)
        slopes.append(slope)
    np.testing.assert_allclose(slopes[0], -slopes[1])
    plain = halves_of_digits.objective("nwj", None)
    assert plain is critic_training.OBJECTIVES["nwj"]


def test_critics_score_codes():
    encoder = halves_of_digits.Encoder(lambda key, x: jnp.float32(2.0), lambda scale, x: scale * x)
    critic = halves_of_digits.critic_of_codes(encoder, halves_of_digits.bilinear())
    x, y = digits(4)[:2]
    params = critic.init(jax.random.key(0), x, y)
    kernel = params["critic"]["matrix"]["kernel"]
    np.testing.assert_allclose(critic.scores(params, x, y), 4 * x @ kernel @ y.T, rtol=1e-4)


def test_information_of_the_shared_latent_is_that_of_its_covariance():
    latent, noise = shared_latent.LATENT**2, shared_latent.NOISE**2

    def information(joint):
        marginals = np.prod(np.diagonal(joint))
        return -shared_latent.WIDTH / 2 * math.log(np.linalg.det(joint) / marginals)

    joint = np.array([[latent + 1, 1], [1, 1 + noise]])
    assert shared_latent.information() == pytest.approx(information(joint))
    given = np.array([[1, 1], [1, 1 + noise]])
    assert shared_latent.information_given_latent() == pytest.approx(information(given))


def test_a_shared_latent_shifts_all_candidates_alike():
    for shared in (True, False):
        y, x = shared_latent.draw(jax.random.key(0), jnp.array(shared))
        z = x - y  # the latent and the noise
        assert (np.std(np.asarray(z), axis=0) < 1).all() == shared


def content():
    """Made-up results of two seeds in which every claim holds."""
    budget = study.BUDGETS["smoke"]._replace(seeds=(0, 1))
    rows = []
    for seed in budget.seeds:
        for condition in study.conditions(budget):
            end = dict(step=4, bound=2.0, accuracy=0.9, reconstruction_error=1e-6)
            start = dict(end, step=0, accuracy=0.85, condition_number=2.0)
            end |= dict(condition_number=3.0)
            if condition.part == "adversarial":
                start, end = (
                    {**point, "accuracy_held_back": 0.5, "accuracy": accuracy}
                    for point, accuracy in ((start, 0.85), (end, 0.4 + seed / 100))
                )
            if condition.critic == "concatenated":
                end |= dict(bound=3.0, accuracy=0.8)
            if condition.encoder == "ConvNet":
                end |= dict(accuracy=0.95)
            trace = [start, end] if condition.part != "held" else [end]
            rows.append({**condition._asdict(), "seed": seed, "trace": trace})
    study_of_latent = dict(information=0.8, independent=[0.7, 0.7], shared=[3.0, 3.1])
    return {
        **dict(experiment=study.NAME, budget="cpu", batch=128, protocol="linear-v1", device="cpu"),
        **dict(machine="2 cores", cpu_seconds=60, commit="0" * 40, differs="all of it"),
        **dict(settings={"seeds": budget.seeds}, rows=rows, shared_latent=study_of_latent),
    }


def test_claims_are_hits_where_every_seed_agrees():
    made = content()
    judged = {claim["claim"]: claim for claim in claims.claims(made)}
    assert {claim["verdict"] for claim in judged.values()} == {"hit"}
    fall = next(claim for name, claim in judged.items() if "falls by 20" in name)
    np.testing.assert_allclose(fall["values"], [-45, -44])
    assert fall["half_width"] == pytest.approx(12.706 * 0.5, rel=1e-3)  # t of one degree
    for row in made["rows"]:
        if row["part"] == "adversarial" and row["seed"] == 1:
            row["trace"][-1].update(accuracy=0.66, reconstruction_error=2e-4)
    missed = [claim["claim"] for claim in claims.claims(made) if claim["verdict"] == "miss"]
    assert len(missed) == 2 and "falls by 20" in missed[0] and "reconstruction" in missed[1]


def test_the_page_and_the_figure_show_all_parts(tmp_path):
    made = content()
    made["claims"] = claims.claims(made)
    text = fragments_representations.representations(made)
    assert "| -44.5 ± 6.4 points | -45.0, -44.0 | hit |" in text
    assert "| concatenated | 3.00 ± 0.00 | 80.0 ± 0.0 |" in text
    representation_figure.draw(made, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_every_condition_is_trained_by_its_networks():
    """Shapes of scores of all conditions, without compiling them."""
    budget = study.BUDGETS["smoke"]
    halves = jnp.zeros((5, 392)), jnp.zeros((5, 392))
    names = [condition for condition in study.conditions(budget) if condition.part != "adversarial"]
    assert len(names) == len({*names}) == 8
    for condition in names:
        critic = study.trainer(budget, condition).critic

        def scores(key, critic=critic):
            return critic.scores(critic.init(key, *halves), *halves)

        assert jax.eval_shape(scores, jax.random.key(0)).shape == (5, 5)
