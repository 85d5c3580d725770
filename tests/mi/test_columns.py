"""What users give as arguments of an estimate: columns or images, or one sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.mi import columns
from dim_jax.mi.columns import Columns

N = 200


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class Series:
    """The attributes of a series that are read, as in pandas or (without `iloc`) polars."""

    def __init__(self, values, name=None, dtype=None):
        self._values = np.asarray(values)
        self.name, self.dtype, self.shape = name, dtype or self._values.dtype, self._values.shape

    def to_numpy(self, dtype=None, na_value=None):
        values = self._values
        if dtype is not None:
            values = np.array([na_value if value is None else value for value in values], dtype)
        return values


class Frame:
    def __init__(self, series):
        self._series, self.columns = series, [each.name for each in series]
        self.dtypes = [each.dtype for each in series]

    def __getitem__(self, name):
        return next(each for each in self._series if each.name == name)

    def to_numpy(self):
        raise AssertionError("columns are read one by one, each in its type")


class PandasFrame(Frame):
    @property
    def iloc(self):
        frame = self

        class Positions:
            def __getitem__(self, index):
                return frame._series[index[1]]

        return Positions()


class Nullable:
    """The type of pandas columns of numbers with missing ones."""

    na_value = None

    def __str__(self):
        return "Int64"


class Named:
    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name


@pytest.mark.parametrize(
    "value",
    [
        draw(N),
        draw(N).astype(np.float16),
        jnp.asarray(draw(N)),
        jnp.asarray(draw(N), jnp.bfloat16),
        draw(N, 1),
        [*draw(N)],
        [[each] for each in draw(N)],
        np.arange(N, dtype=np.uint8),
        Series(draw(N)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_any_type_are_one_column(value):
    read = Columns.of(value, "x")
    assert read.values.shape == (N, 1) and read.values.dtype == np.float64
    assert read.names == ("x",) and not read.discrete and not read.images


def test_columns_have_names():
    assert Columns.of(draw(N, 2), "x").names == ("x[:, 0]", "x[:, 1]")
    series = [Series(draw(N), "height"), Series(np.arange(N), "age")]
    for table in (Frame(series), PandasFrame(series), {"height": draw(N), "age": range(N)}):
        read = Columns.of(table, "x")
        assert read.names == ("height", "age") and read.values.shape == (N, 2)
        np.testing.assert_array_equal(read.values[:, 1], np.arange(N))
    assert Columns.of(Series(draw(N), "age"), "x").names == ("age",)
    twice = PandasFrame([Series(draw(N), "a"), Series(draw(N, seed=1), "a")])
    assert np.ptp(np.diff(Columns.of(twice, "x").values)) > 0


def test_images_keep_their_type():
    images = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 1), dtype=np.uint8)
    read = Columns.of(images, "x")
    assert read.images and read.values.dtype == np.uint8 and not read.discrete
    assert Columns.of(jnp.asarray(images, jnp.bfloat16), "x").values.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "told", "discrete"),
    [
        (np.arange(N) % 20, None, True),
        (np.arange(N) % 21, None, False),
        (np.arange(100) % 11, None, False),
        (np.arange(N) % 2 == 0, None, True),
        ([index % 3 for index in range(N)], None, True),
        (Frame([Series(np.arange(N) % 3, "kind")]), None, True),
        (np.arange(N) % 3 * 1.0, None, False),
        (np.stack([np.arange(N) % 3] * 2, 1), None, False),
        (np.arange(N) % 3, False, False),
        (np.arange(N) % 3 * 1.0, True, True),
        (np.stack([np.arange(N) % 3, np.arange(N) % 2], 1), True, True),
    ],
)
def test_few_integers_are_classes_unless_told(value, told, discrete):
    assert Columns.of(value, "x", told).discrete is discrete


def test_classes_have_codes():
    rows = np.stack([np.arange(N) % 3, np.arange(N) % 2], 1)
    read = Columns.of(rows, "x", True)
    assert read.values.shape == (N, 1) and read.names == ("x[:, 0], x[:, 1]",)
    assert sorted({*read.codes}) == list(range(6)) and read.codes.shape == (N,)
    assert [*Columns.of(np.arange(N) % 2 * 5 - 3, "x").codes[:3]] == [0, 1, 0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, (None, None)),
        (True, (True, True)),
        (False, (False, False)),
        ("y", (False, True)),
        (("x", "y"), (True, True)),
        ((), (False, False)),
    ],
)
def test_word_of_the_caller(given, expected):
    assert tuple(columns.says_discrete(given, name) for name in ("x", "y")) == expected


def test_misspelt_argument_of_discrete():
    with pytest.raises(contracts.UserError, match=r"'z': use one of given, x, y"):
        columns.says_discrete(("z",), "x")


def with_value(value, *, row=7, column=1):
    array = draw(N, 3)
    array[row, column] = value
    array[row + 5, column] = value
    return array


MISTAKES = {
    "NaN": (
        with_value(np.nan),
        r"column 'x\[:, 1\]' of x is NaN in 2 of 200 rows, the first is row 7",
    ),
    "infinity": (with_value(-np.inf), "is infinite in 2 of 200 rows, the first is row 7"),
    "NaN in one column": (np.r_[np.nan, draw(N)], "x is NaN in 1 of 201 rows, the first is row 0"),
    "NaN in images": (with_value(np.nan).reshape(N, 3, 1, 1), "x is NaN in 2 of 200 rows.* row 7"),
    "missing in a frame": (
        PandasFrame([Series([None, *range(N)], "age", Nullable()), Series(draw(N + 1), "b")]),
        "column 'age' of x is NaN in 1 of 201 rows",
    ),
    "too few": (draw(49), "x has 49 samples, and an estimate needs at least 50"),
    "empty": (draw(0, 2), r"x has the shape \[0, 2\], which holds no value"),
    "no columns": (draw(N, 0), r"shape \[200, 0\]"),
    "columns of unequal lengths": ({"a": draw(N), "b": draw(9)}, r"'b' of x has the shape \[9\]"),
    "columns of two axes": ({"a": draw(N, 2)}, r"'a' of x has the shape \[200, 2\]"),
    "empty frame": (Frame([]), "x is a table without columns"),
    "strings": (np.array(["cat", "dog"] * N), "x holds strings, such as 'cat'; give classes as"),
    "list of strings": (["cat", "dog"] * N, "x holds strings"),
    "strings in a frame": (
        Frame([Series(np.array(["cat"] * N, object), "pet")]),
        "column 'pet' of x holds strings, such as 'cat'",
    ),
    "categories": (
        Frame([Series(["cat"] * N, "pet", Named("category"))]),
        r"column 'pet' of x is categorical; give its codes \(.cat.codes",
    ),
    "objects": (np.array([None, 1.0] * N), "x holds Python objects, such as NoneType 'None'"),
    "an object": (object(), "x holds Python objects"),
    "complex": (draw(N) + 1j, "x is complex; give real and imaginary parts as two columns"),
    "times": (np.arange(N).astype("datetime64[s]"), r"x holds times \(datetime64\[s\]\)"),
    "times in a frame": (
        Series(np.arange(N), "day", Named("datetime64[ns, UTC]")),
        "x holds times",
    ),
    "ragged": ([[1.0], [2.0, 3.0]] * N, "x is no array"),
    "random keys": (jax.random.split(jax.random.key(0), N), "x is no array|has the type key"),
    "masked": (np.ma.masked_less(draw(N), 0), "x has .* masked values"),
    "one number": (3.0, r"x has the shape \[\]"),
    "three axes": (draw(N, 3, 3), r"shape \[200, 3, 3\].*grey images as x\[\.\.\., None\]"),
    "five axes": (draw(N, 2, 1, 2, 1), r"x.reshape\(len\(x\), -1\)"),
    "constant": (np.ones(N), "x is constant, and shares no information"),
    "constant columns": (np.ones((N, 2)), "x has constant columns alone"),
    "constant images": (np.ones((N, 2, 2, 1), np.uint8), "all pixels of x have the value 1"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_sentence(case):
    value, sentence = MISTAKES[case]
    with pytest.raises(contracts.UserError, match=sentence) as error:
        Columns.of(value, "x")
    assert "\n" not in str(error.value)


def test_classes_that_are_none():
    with pytest.raises(contracts.UserError, match="x has 200 classes in 200 samples"):
        Columns.of(draw(N), "x", True)
    with pytest.raises(contracts.UserError, match="x has images, which are no classes"):
        Columns.of(draw(N, 2, 2, 1), "x", True)


def test_traced_values_are_refused():
    with pytest.raises(contracts.UserError, match="x is traced by"):
        jax.jit(lambda x: Columns.of(x, "x"))(draw(N))


def test_constant_columns_are_left_out():
    array = draw(N, 3)
    array[:, 1] = 4
    read = Columns.of(array, "x")
    assert read.names == ("x[:, 0]", "x[:, 2]") and read.values.shape == (N, 2)
    assert read.notes == ("x: constant columns are left out: x[:, 1]",)


def test_ties_are_noted():
    assert Columns.of(draw(N, 2), "x").notes == ()
    (note,) = Columns.of(np.round(draw(N, 2), 1) * [1, 0] + draw(N, 2) * [0, 1], "x").notes
    assert "values repeat" in note and "x[:, 0]" in note and "x[:, 1]" not in note
    assert "for classes, add it to discrete" in Columns.of(np.arange(N) % 3 * 1.0, "x").notes[1]


def pair(x, y, given=None, **options):
    read = {"x": x, "y": y, "given": given}
    arguments = [None if value is None else Columns.of(value, name) for name, value in read.items()]
    return columns.check_pair(*arguments, **options)


def test_arguments_that_fit_have_no_remarks():
    x = draw(N, 2)
    given = draw(N, seed=1)
    assert pair(x, x[:, :1] + draw(N, seed=2)[:, None], given) == ()
    assert pair(x, x[:, 0] > 0, blocks=np.arange(N) // 10) == ()
    images = draw(N, 2, 2, 1)
    assert pair(images, np.arange(N) % 3) == ()
    assert pair(images, images + draw(N, 1, 1, 1)) == ()


def test_unequal_lengths():
    with pytest.raises(contracts.UserError, match=r"\(x 200, y 199\); row i of each"):
        pair(draw(N), draw(N - 1))
    with pytest.raises(contracts.UserError, match=r"\(x 200, y 200, given 60, blocks 3\)"):
        pair(draw(N), draw(N, 2, seed=1), draw(60), blocks=[1, 2, 3])


@pytest.mark.parametrize(
    "change",
    [lambda x: x, lambda x: -x, np.exp, lambda x: x**3 - 7, lambda x: x.astype(np.float32)],
)
@pytest.mark.parametrize("against", ["y", "given"])
def test_copies_are_infinite_information(change, against):
    x = draw(N, 3)
    other = np.stack([draw(N, seed=4), change(x[:, 2])], 1)
    arguments = (x, other) if against == "y" else (x, draw(N, seed=5), other)
    sentence = rf"x \('x\[:, 2\]'\) is a copy of {against} \('{against}\[:, 1\]'\)"
    with pytest.raises(contracts.UserError, match=sentence):
        pair(*arguments)


def test_copies_of_images_and_of_rounded_columns():
    images = draw(N, 2, 2, 1)
    with pytest.raises(contracts.UserError, match="x is a copy of y"):
        pair(images, images)
    rounded = np.round(draw(N), 4)
    rounded[0] = rounded[1]
    with pytest.raises(contracts.UserError, match="x is a copy of y"):
        pair(rounded, rounded)


def test_columns_of_few_values_have_finite_information():
    few = np.arange(N) % 25
    assert not Columns.of(few, "x").discrete
    pair(few, few)
    pair(few % 3, few % 3)
    pair(draw(N), few % 3)


def test_equal_in_a_part_is_no_copy():
    x = draw(5_000)
    y = x.copy()
    y[[1, 2]] = y[[2, 1]]  # not among the samples that are compared first
    assert pair(x, y) == ()


def test_samples_entered_twice_are_noted():
    x, y = draw(N, 2), draw(N, seed=1)
    twice = np.r_[0:N, 0:20]
    (note,) = pair(x[twice], y[twice])
    assert note.startswith("20 of 220 samples are copies of others")
    images = draw(N, 2, 2, 1)
    assert pair(images[twice], y[twice]) == (note,)
    assert pair(x[twice], np.r_[y, y[:20] + 1]) == ()
    assert pair(np.arange(N) % 3, np.arange(N) % 2 == 0) == ()


@pytest.mark.parametrize("scale", [1e-320, 1e-30, 1e300])
def test_any_scale(scale):
    x = draw(N) * scale
    assert pair(x, draw(N, seed=1)) == ()


@pytest.mark.parametrize(
    "blocks",
    [
        np.arange(N) // 10,
        np.array([f"day {index // 10}" for index in range(N)]),
        [f"day {index // 10}" for index in range(N)],
        Series(np.array([f"{index // 10}" for index in range(N)], object), "day"),
        (np.arange(N) // 10 * 1.0)[:, None],
        jnp.arange(N) // 10,
    ],
)
def test_labels_of_blocks(blocks):
    assert pair(draw(N), draw(N, seed=1), blocks=blocks) == ()


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        (np.arange(N) // 40, "there are 5 different blocks, and at least 10 are needed"),
        (draw(N), "blocks has the shape .* give one integer or string for every sample"),
        (draw(N, 2), "blocks has the shape"),
        ([None] * N, "blocks has the shape"),
        (np.full(N, np.nan), "blocks has the shape"),
    ],
)
def test_mistakes_in_blocks(blocks, sentence):
    with pytest.raises(contracts.UserError, match=sentence):
        pair(draw(N), draw(N, seed=1), blocks=blocks)
