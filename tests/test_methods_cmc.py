"""CMC: its losses and banks against NumPy loops, its pairs, its control, and what it refuses."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import bounds, contracts, losses
from dim_jax.losses import memory_bank
from dim_jax.methods import cmc
from dim_jax.nets import pure
from dim_jax.training import train_step

EXAMPLES, WIDTH, TAU, K = 20, 5, 0.2, 7
RNG = jax.random.key(4)
RANDOM = np.random.default_rng(0)
BANK = dict(negatives=K, momentum=0.5, examples=EXAMPLES)
MORE = {"softmax": {}, "bank": BANK, "nce": BANK | dict(z_decay=0.9)}


def stub(views) -> pure.Net:
    """y of view j is a parameter times channel j of the image: features are known."""

    def init(rng, images):
        return {view: jnp.eye(WIDTH) for view in views}, {"seen": jnp.zeros(())}

    def apply(params, stats, images, *, train, rng=None):
        flat = {view: images[:, 0, :, j] @ params[view] for j, view in enumerate(views)}
        y = jnp.concatenate([*flat.values()], axis=-1)
        taps = dict(conv=images, fc=y, y=y) | {f"y_{view}": part for view, part in flat.items()}
        return taps, {"seen": stats["seen"] + train}

    return pure.Net(init, apply)


def features(views: int, n: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(views, n, WIDTH))


def batch_of(rows: np.ndarray, index=None) -> contracts.Batch:
    """A batch whose view j has the features rows[j] f[n,WIDTH] under the stub's first kernels."""
    n = rows.shape[1]
    images = jnp.asarray(np.moveaxis(rows, 0, -1)[:, None], jnp.float32)
    index = np.arange(n) if index is None else index
    return contracts.Batch(
        images=images[None], labels=jnp.zeros(n, jnp.int32), index=jnp.asarray(index, jnp.int32)
    )


def made(objective="softmax", views=("L", "ab"), graph="core", **more) -> contracts.Method:
    arguments = dict(encoder=stub(views), views=views, graph=graph, objective=objective)
    return cmc.make(**arguments | dict(temperature=TAU) | MORE[objective] | more)


def started(objective="softmax", views=("L", "ab"), graph="core", **more):
    method = made(objective, views, graph, **more)
    params, state = jax.jit(method.init)(RNG, batch_of(features(len(views))))
    return method, params, state


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cross_entropy(scores: np.ndarray, own: int) -> float:
    return math.log(np.exp(scores).sum()) - scores[own]


def in_batch(anchors, candidates) -> float:
    """The mean cross-entropy of each anchor's own among the candidates, by loops."""
    scores = unit(anchors) @ unit(candidates).T / TAU
    return np.mean([cross_entropy(row, i) for i, row in enumerate(scores)])


PAIRS = {
    ("core", 2): [(0, 1)],
    ("full", 2): [(0, 1)],
    ("core", 3): [(0, 1), (0, 2)],
    ("full", 3): [(0, 1), (0, 2), (1, 2)],
    ("core", 4): [(0, 1), (0, 2), (0, 3)],
}
NAMES = ("L", "a", "b", "depth")


@pytest.mark.parametrize(("graph", "count"), PAIRS)
def test_softmax_is_that_of_numpy_for_every_graph(graph, count):
    rows = features(count)
    method, params, state = started(views=NAMES[:count], graph=graph)
    found = jax.jit(method.loss)(params, state, batch_of(rows), RNG, 0)
    expected, metrics = 0.0, set()
    for i, j in PAIRS[graph, count]:
        expected += in_batch(rows[i], rows[j]) + in_batch(rows[j], rows[i])
        metrics |= {f"{NAMES[i]}_to_{NAMES[j]}/nats", f"{NAMES[j]}_to_{NAMES[i]}/nats"}
    assert found.losses["encoder"] == pytest.approx(expected, rel=1e-5)
    assert {name for name in found.metrics if name.endswith("/nats")} == metrics
    name = f"L_to_{NAMES[1]}"
    scores = unit(rows[0]) @ unit(rows[1]).T / TAU
    others = scores[~np.eye(6, dtype=bool)]
    nats = math.log(6) - in_batch(rows[0], rows[1])
    assert found.metrics[f"{name}/nats"] == pytest.approx(nats, abs=1e-5)
    assert found.metrics[f"{name}/score_joint"] == pytest.approx(np.trace(scores) / 6, abs=1e-5)
    assert found.metrics[f"{name}/score_product"] == pytest.approx(others.mean(), abs=1e-5)
    assert found.state == {"encoder": {"seen": 1}}


def test_two_views_are_the_symmetric_bound():
    rows = features(2)
    method, params, state = started()
    found = jax.jit(method.loss)(params, state, batch_of(rows), RNG, 0).losses["encoder"]
    scores = jnp.asarray(unit(rows[0]) @ unit(rows[1]).T / TAU)
    bound = bounds.symmetric_infonce(scores)
    assert found == pytest.approx(2 * (math.log(6) - float(bound)), rel=1e-5)


def test_random_pairs_are_of_different_images():
    """The j-th view is moved by j: softmax, and the banks' own rows with it."""
    rows = features(3)
    moved = np.stack([np.roll(part, -j, axis=0) for j, part in enumerate(rows)])
    method, params, state = started(views=NAMES[:3], graph="full", pairing="random")
    found = jax.jit(method.loss)(params, state, batch_of(rows), RNG, 0).losses["encoder"]
    pairs = itertools.permutations(range(3), 2)
    expected = sum(in_batch(moved[i], moved[j]) for i, j in pairs)
    assert found == pytest.approx(expected, rel=1e-5)
    own, params, state = started(views=NAMES[:3], graph="full")
    other = jax.jit(own.loss)(params, state, batch_of(rows), RNG, 0).losses["encoder"]
    assert abs(other - found) > 0.1


@pytest.mark.parametrize("pairing", ["own", "random"])
def test_random_pairs_enter_the_own_rows_of_the_banks(pairing):
    rows, index = features(2), RANDOM.permutation(EXAMPLES)[:6]
    method, params, state = started("bank", pairing=pairing)
    found = jax.jit(method.loss)(params, state, batch_of(rows, index), RNG, 0).state["banks"]
    for view, part in zip(("L", "ab"), rows, strict=True):
        expected = np.array(state["banks"][view], np.float64)
        expected[index] = unit(0.5 * expected[index] + 0.5 * unit(part))
        np.testing.assert_allclose(found[view], expected, atol=1e-6)


def given(monkeypatch) -> np.ndarray:
    """Negatives i[6,K] that are drawn for every pair, always the same: never the own row."""
    moves = np.random.default_rng(3).integers(1, EXAMPLES, (6, K))
    monkeypatch.setattr(
        memory_bank,
        "draw_rows",
        lambda rng, index, count, examples: jnp.concatenate(
            [index[:, None], (index[:, None] + moves) % examples], axis=1
        ),
    )
    return moves


@pytest.mark.parametrize("pairing", ["own", "random"])
@pytest.mark.parametrize("objective", ["bank", "nce"])
def test_losses_with_banks_are_those_of_numpy(objective, pairing, monkeypatch):
    drawn = given(monkeypatch)
    rows, index = features(2), RANDOM.permutation(EXAMPLES)[:6]
    method, params, state = started(objective, pairing=pairing)
    found = jax.jit(method.loss)(params, state, batch_of(rows, index), RNG, 0)
    kept = {view: np.asarray(state["banks"][view], np.float64) for view in ("L", "ab")}
    moves = {"L": 0, "ab": 1 if pairing == "random" else 0}
    expected, parts = 0.0, dict(L=rows[0], ab=rows[1])
    for a, b in (("L", "ab"), ("ab", "L")):
        anchors = np.roll(unit(parts[a]), -moves[a], axis=0)
        own = np.roll(index, -moves[b])
        scores = np.zeros((6, 1 + K))
        for i in range(6):
            candidates = [own[i], *((own[i] + step) % EXAMPLES for step in drawn[i])]
            assert own[i] not in candidates[1:]
            scores[i] = [anchors[i] @ kept[b][row] / TAU for row in candidates]
        if objective == "bank":
            expected += np.mean([cross_entropy(row, 0) for row in scores])
        else:
            z = z_of(scores)
            expected += nce(scores, z)
            log_z = found.metrics[f"{a}_to_{b}/log_z"]
            assert log_z == found.state["log_z"][f"{a}_to_{b}"]
            assert log_z == pytest.approx(math.log(z), abs=1e-5)
    assert found.losses["encoder"] == pytest.approx(expected, rel=1e-5)


def z_of(scores: np.ndarray) -> float:
    """The mean over anchors of the sum over the whole bank, estimated with the own row as one."""
    total = 0.0
    for row in np.exp(scores):
        total += row[0] + (EXAMPLES - 1) * row[1:].mean()
    return total / len(scores)


def nce(scores: np.ndarray, z: float) -> float:
    noise, total = K / EXAMPLES, 0.0
    for row in np.exp(scores) / z:
        total -= math.log(row[0] / (row[0] + noise))
        for p in row[1:]:
            total -= math.log(noise / (p + noise))
    return total / len(scores)


def test_z_is_a_moving_average_that_forgets():
    before = jnp.array(-jnp.inf)
    expected = None
    for seed in range(5):
        scores = 3 * np.random.default_rng(seed).normal(size=(4, 1 + K))
        before = memory_bank.update_log_z(before, jnp.asarray(scores), 0.8, EXAMPLES)
        now = z_of(scores)
        expected = now if expected is None else 0.8 * expected + 0.2 * now
        assert before == pytest.approx(math.log(expected), rel=1e-5)
    frozen = memory_bank.update_log_z(before, jnp.asarray(scores), 0.0, EXAMPLES)
    assert frozen == pytest.approx(math.log(z_of(scores)), rel=1e-5)
    huge = memory_bank.update_log_z(jnp.array(5.0), jnp.full((4, 1 + K), 1e4), 0.9, EXAMPLES)
    assert huge == pytest.approx(1e4 + math.log(EXAMPLES) + math.log(0.1), rel=1e-5)


def test_z_estimates_the_sum_over_the_bank():
    """Over many draws: the mean of its exponential is the whole sum."""
    bank = memory_bank.init(jax.random.key(1), EXAMPLES, WIDTH)
    anchors, index = bank[:3] * jnp.array([1, -1, 1.0, -1, 1]), jnp.arange(3)
    whole = np.exp(np.float64(anchors) @ np.float64(bank).T / TAU).sum() / 3

    def estimate(rng):
        scores = memory_bank.dot_products(anchors, bank, index, K, rng) / TAU
        return memory_bank.update_log_z(jnp.array(-jnp.inf), scores, 0.5, EXAMPLES)

    found = jnp.exp(jax.jit(jax.vmap(estimate))(jax.random.split(RNG, 4000)))
    assert np.mean(found) == pytest.approx(whole, abs=4 * float(np.std(found)) / 4000**0.5)


def test_z_has_no_gradient_and_the_loss_is_finite_at_large_scores():
    scores = jnp.asarray(RANDOM.normal(size=(4, 1 + K)), jnp.float32)
    gradient = jax.grad(lambda z: losses.nce_loss(scores, z, EXAMPLES))(jnp.array(1.0))
    assert gradient == 0
    of_scores = jax.grad(lambda s: memory_bank.update_log_z(jnp.array(1.0), s, 0.5, EXAMPLES))(
        scores
    )
    assert not np.any(of_scores)
    for sign in (1, -1):
        value, gradient = jax.jit(
            jax.value_and_grad(lambda s: losses.nce_loss(s, jnp.array(2.0), EXAMPLES))
        )(sign * 1e4 * jnp.ones((4, 1 + K)))
        assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_banks_are_unit_rows_and_repeated_use_is_exact():
    """Ten steps of overlapping batches, beside a NumPy bank that takes every step."""
    method, params, state = started("bank")
    for view, bank in state["banks"].items():
        assert bank.shape == (EXAMPLES, WIDTH), view
        np.testing.assert_allclose(np.linalg.norm(bank, axis=-1), 1, rtol=1e-6)
    assert np.any(state["banks"]["L"] != state["banks"]["ab"])
    expected = {view: np.array(bank, np.float64) for view, bank in state["banks"].items()}
    loss, generator = jax.jit(method.loss), np.random.default_rng(1)
    for step in range(10):
        rows, index = features(2, seed=step), generator.permutation(EXAMPLES)[:6]
        state = loss(params, state, batch_of(rows, index), RNG, step).state
        for view, part in zip(("L", "ab"), rows, strict=True):
            for i, row in zip(index, part, strict=True):
                expected[view][i] = unit(0.5 * expected[view][i] + 0.5 * unit(row))
    for view, bank in state["banks"].items():
        np.testing.assert_allclose(bank, expected[view], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(bank, axis=-1), 1, rtol=1e-6)


def test_what_enters_a_bank_has_no_gradient():
    method, params, state = started("bank")

    def entered(params):
        found = jax.jit(method.loss)(params, state, batch_of(features(2)), RNG, 0)
        return sum(jnp.sum(bank**3) for bank in found.state["banks"].values())

    gradient = jax.jit(jax.grad(entered))(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_the_own_row_is_never_a_negative_and_the_others_are_equally_likely():
    own = jnp.array([0, 7, EXAMPLES - 1])
    rows = np.asarray(memory_bank.draw_rows(RNG, own, 20_000, EXAMPLES))
    np.testing.assert_array_equal(rows[:, 0], own)
    for first, *others in rows:
        counts = np.bincount(others, minlength=EXAMPLES)
        assert counts[first] == 0 and counts.sum() == 20_000
        expected = 20_000 / (EXAMPLES - 1)
        rest = np.delete(counts, first)
        assert np.abs(rest - expected).max() < 5 * math.sqrt(expected)


@pytest.mark.parametrize(
    ("objective", "pairing"),
    [
        ("bank", "random"),
        ("nce", "own"),
        pytest.param("bank", "own", marks=pytest.mark.slow),
        pytest.param("nce", "random", marks=pytest.mark.slow),
    ],
)
def test_a_batch_over_eight_devices_is_the_same(objective, pairing):
    """Losses, metrics, banks and log Z, two steps; banks are whole on every device."""
    rows = features(2, n=8)
    method, params, state = started(objective, pairing=pairing)
    loss = jax.jit(method.loss)
    mesh = train_step.mesh()
    parted = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    batch = batch_of(rows, RANDOM.permutation(EXAMPLES)[:8])
    split = {name: jax.device_put(x, parted) for name, x in batch.items() if name != "images"}
    views = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "data"))
    split["images"] = jax.device_put(batch["images"], views)
    one = eight = None
    for _ in range(2):
        one = loss(params, one.state if one else state, batch, RNG, 0)
        eight = loss(params, eight.state if eight else state, split, RNG, 0)
    assert len(split["index"].sharding.device_set) == 8
    for part in ("losses", "metrics", "state"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            jax.device_get(getattr(one, part)),
            jax.device_get(getattr(eight, part)),
        )


def test_scores_in_evaluation_mode_are_by_name():
    rows = features(3)
    method, params, state = started(views=NAMES[:3], graph="core")
    found = jax.jit(method.scores)(params, state, batch_of(rows)["images"])
    assert found.keys() == {"L_to_a", "a_to_L", "L_to_b", "b_to_L"}
    np.testing.assert_allclose(
        found["b_to_L"], unit(rows[2]) @ unit(rows[0]).T / TAU, rtol=1e-4, atol=1e-5
    )


def test_the_number_of_places_is_asked_for_with_banks_only():
    assert made("bank").examples == made("nce").examples == EXAMPLES
    assert made(examples=EXAMPLES).examples is None and not made().per_example


@pytest.mark.parametrize(
    ("objective", "wrong", "message"),
    [
        ("softmax", dict(graph="ful"), r"unknown method\.graph 'ful': did you mean 'full'"),
        ("softmax", dict(objective="softmx"), r"unknown method\.objective 'softmx'"),
        ("softmax", dict(pairing="randm"), r"unknown method\.pairing 'randm'"),
        ("softmax", dict(views=("L",)), "name at least two views"),
        ("softmax", dict(views=("L", "L")), "each once"),
        ("softmax", dict(temperature=0.0), r"temperature is 0\.0; set it to more than 0"),
        ("softmax", dict(temperature=-1.0), "set it to more than 0"),
        ("bank", dict(negatives=None), "negatives is None and a memory bank needs it"),
        ("bank", dict(negatives=0), "set it to 1 or more"),
        ("bank", dict(examples=None), "examples is None"),
        ("bank", dict(momentum=1.0), "to 0 or more and less than 1"),
        ("nce", dict(z_decay=None), "z_decay is None"),
    ],
)
def test_arguments_that_cannot_be_are_one_sentence(objective, wrong, message):
    arguments = dict(encoder=stub(("L", "ab")), views=("L", "ab"), graph="core", temperature=TAU)
    arguments |= dict(objective=objective) | MORE[objective]
    with pytest.raises(contracts.UserError, match=message):
        cmc.make(**arguments | wrong)


def test_batches_and_encoders_that_do_not_fit():
    def start(method, rows):
        jax.eval_shape(method.init, RNG, batch_of(rows))

    with pytest.raises(contracts.UserError, match="names 'b' and the encoder has the taps"):
        start(made(encoder=stub(("L", "ab")), views=("L", "b")), features(2))
    with pytest.raises(contracts.UserError, match=r"6 images .*at most method\.examples=5"):
        start(made("bank", examples=5), features(2))
    with pytest.raises(contracts.UserError, match="2 images and there are 3 views"):
        start(made(views=NAMES[:3]), features(3, n=2))
