"""The kinds of protocols: what an evaluation that fits something can be told, and what it means."""

from typing import NamedTuple


class Mlp(NamedTuple):
    """One hidden layer on frozen features: linear, dropout, batch norm, ReLU, linear.

    standardise: features are shifted and scaled to the training images' mean 0 and deviation 1.
    milestones: epochs at which the rate falls to a tenth, or to `factor` of it; None = half a
      cosine down to zero.
    batch: examples a step, all of them where there are fewer; a last, smaller batch is dropped.
    min_steps: few examples are passed over more than `epochs` times, until this many steps.
    averaged_epochs: the result is the mean test accuracy after each of the last so many epochs.
    fits: independent initialisations and dropout masks, over the same batches.
    around: dropout stands before the first linear map and before the second, not behind the first.
    l2: times the parameters is added to the gradient, before Adam.
    clip, penalty: of the logits (`losses.classification_loss`).
    """

    hidden: int
    dropout: float
    standardise: bool
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int
    averaged_epochs: int
    fits: int
    around: bool = False
    factor: float = 0.1
    l2: float = 0.0
    clip: float | None = None
    penalty: float = 0.0


class Linear(NamedTuple):
    """Multinomial logistic regression on frozen features: one affine map and a softmax.

    All fields: as in `Mlp`; fits differ by their start alone.
    """

    standardise: bool
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int
    averaged_epochs: int
    fits: int
    factor: float = 0.1
    l2: float = 0.0
    clip: float | None = None
    penalty: float = 0.0


class Refitted(NamedTuple):
    """An affine map and a softmax, fitted to copies of seed patches and judged on others.

    standardise, betas, batch, epochs, min_steps: as in `Mlp`, of each fit; the rate falls to zero
      along half a cosine.
    learning_rates: one fit for each, at that rate over sqrt(d) for d features; the rate and the
      number of passes are those with the largest bound on copies neither fitted nor judged.
    patience: a fit ends after so many passes without a larger bound.
    """

    standardise: bool
    learning_rates: tuple[float, ...]
    betas: tuple[float, float]
    batch: int
    epochs: int
    min_steps: int
    patience: int


class Svm(NamedTuple):
    """One-vs-rest linear SVM with an intercept, solved to convergence.

    Minimises, per class, |w|^2 / 2 + (strength / n) * sum of loss(1 - t (w.x + b)) over the n
    examples, t = +-1; strength / n is LIBLINEAR's C. The problem is convex, so a fit differs from
    another by its data alone.

    standardise: as in `Mlp`.
    width, rounds: None = squared hinge, max(0, u)^2; a number = hinge, max(0, u), rounded over so
      much of u and solved so many times, less rounded each time (`hinge` states the error).
    fits: 1, or so many fits, at most `parts`. Fit k leaves the k-th part of the training examples
      out, has the strength that is best on it, and is trained on the others; n counts them all.
      With label subsets there is one fit for each, as with `fits` 1.
    strengths: the candidates; the best on held-out training examples is then fitted on all.
    parts: the training examples are divided by class into so many parts, one of them held out.
    rotate_below: with fewer examples than this, every part is held out in turn.
    tolerance: of the gradient, relative to that at w = 0, in the metric of the quadratic bound.
    """

    standardise: bool
    width: float | None
    rounds: int
    fits: int
    strengths: tuple[float, ...]
    parts: int
    rotate_below: int
    tolerance: float
    max_steps: int


class Knn(NamedTuple):
    """Vote of the nearest training examples by cosine, each weighted exp(cosine / temperature).

    standardise: as in `Mlp`.
    """

    standardise: bool
    neighbours: int
    temperature: float


class CriticFit(NamedTuple):
    """How a critic is fitted by Adam and reported as a Donsker-Varadhan value.

    batch: pairs a step, all of them where there are fewer; a last, smaller batch is dropped.
    milestones: steps at which the rate falls to a tenth; None = half a cosine down to zero.
    products: product samples in training for each joint one.
    held_out: the part of the training pairs that is not trained on and chooses, every
      `check_every` steps, the critic that is reported; 0 = the critic of the last step.
    reported_products: product samples in the reported value for each joint one.
    """

    batch: int
    steps: int
    learning_rate: float
    milestones: tuple[int, ...] | None
    products: int
    held_out: float
    check_every: int
    reported_products: int


class Dependence(NamedTuple):
    """The neural dependency measure: a critic of permuted coordinates, reported on test images.

    trained_on: the split whose representations the critic is trained on.
    examples: at most so many of them, drawn at random.
    standardise: coordinates are shifted and scaled to mean 0 and deviation 1 on those examples.
    """

    trained_on: str
    examples: int
    standardise: bool
    fit: CriticFit


class Information(NamedTuple):
    """MINE: a critic of images and y, trained on training images, reported on test images.

    examples: at most so many training images, drawn at random.
    width, features, widths: of the critic; channels of the image encoder's first convolution, the
      encoded image, and the hidden layers on it and y.
    decay: of the moving average in the gradient.
    """

    examples: int
    width: int
    features: int
    widths: tuple[int, ...]
    decay: float
    fit: CriticFit


class Tuning(NamedTuple):
    """An encoder trained on through a classifier with one hidden layer on one of its taps.

    hidden, dropout: of `heads.classifier`.
    unsupervised: weight of the method's own losses beside the cross-entropy. 0: the encoder and the
      classifier see labelled images only. Else every player goes on with its loss on all training
      images, and those without a label weigh nothing in the cross-entropy.
    learning_rate, betas, milestones, batch, epochs, min_steps: as in `Mlp`, of all that is trained.
    fits: independent classifiers, orders and dropout masks, all from the same encoder.
    """

    hidden: int
    dropout: float
    unsupervised: float
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int
    fits: int


class Decoder(NamedTuple):
    """A decoder from frozen features to images, trained with mean squared error.

    base, widths: of `heads.decoder`.
    standardise, learning_rate, betas, milestones, batch, epochs, min_steps: as in `Mlp`.
    """

    base: int
    widths: tuple[int, ...]
    standardise: bool
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int


class Attributes(NamedTuple):
    """One linear SVM for each binary attribute, as `Svm` has one for each class.

    examples: at most so many training images, drawn at random.
    strengths, tolerance, max_steps: as in `Svm`, but each attribute has its own strength, the one
      with the most held-out examples right.
    parts, rotate_below: as in `Svm`, but divided at random: each attribute would want its own.
    """

    examples: int
    strengths: tuple[float, ...]
    parts: int
    rotate_below: int
    tolerance: float
    max_steps: int
