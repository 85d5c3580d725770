"""Titles and descriptions of evaluations, metrics and labels in the rows of results.json."""

from collections.abc import Iterable

# The beginning of a name ("mlp" of "mlp_few") -> title, phrase in a sentence.
_EVALUATIONS = {
    "mlp": ("MLP probe", "an MLP probe"),
    "linear": ("Linear probe", "a linear probe"),
    "svm": ("Linear SVM", "a linear SVM"),
    "knn": ("k nearest neighbours", "a vote of the k nearest neighbours"),
    "attributes": ("Binary attributes", "a linear classifier for each attribute"),
    "classifier": ("Its own classifier", "its own classifier"),
    "own_classifier": ("Its own classifier", "its own classifier"),
    "finetune": ("Fine-tuned encoder", "fine-tuning of the whole encoder"),
}
_METRICS = {  # name -> title, description
    "fid": (
        "Frechet distance",
        "Of the features of samples and real images, in the network in brackets; 0 = equal moments",
    ),
    "kid": (
        "Kernel distance",
        "The unbiased squared MMD of the same features; around 0 = equal, possibly below",
    ),
    "precision": ("Precision of samples", "Share of them in the manifold of real features"),
    "recall": ("Recall of samples", "Share of real features in the manifold of theirs"),
    "inception_score": (
        "Inception score",
        "Exp of the mean divergence of class probabilities from their mean; 1 = all alike",
    ),
    "images": ("Images compared", "With as many real ones; distances fall with their number"),
    "kolmogorov_uniform": (
        "Distance to the uniform prior",
        "Kolmogorov distance, mean over coordinates; 0 = the prior exactly",
    ),
    "kolmogorov_gaussian": (
        "Distance to the Gaussian prior",
        "Kolmogorov distance, mean over coordinates; 0 = the prior exactly",
    ),
    "kolmogorov_ball": (
        "Distance to the uniform prior in a ball",
        "Kolmogorov distance, mean over coordinates; 0 = the prior exactly",
    ),
    "kolmogorov_sphere": (
        "Distance to the uniform prior on a sphere",
        "Kolmogorov distance, mean over coordinates; 0 = the prior exactly",
    ),
    "kolmogorov_uniform_passed": (
        "Coordinates like the uniform prior",
        "Share that Kolmogorov's test with at most 500 test images does not reject at level 0.01",
    ),
    "kolmogorov_gaussian_passed": (
        "Coordinates like the Gaussian prior",
        "Share that Kolmogorov's test with at most 500 test images does not reject at level 0.01",
    ),
    "kolmogorov_ball_passed": (
        "Coordinates like the prior in a ball",
        "Share that Kolmogorov's test with at most 500 test images does not reject at level 0.01",
    ),
    "kolmogorov_sphere_passed": (
        "Coordinates like the prior on a sphere",
        "Share that Kolmogorov's test with at most 500 test images does not reject at level 0.01",
    ),
    "normality_passed": (
        "Coordinates with a normal distribution",
        "Of any mean and variance: share that D'Agostino and Pearson's test accepts at level 0.05",
    ),
    "effective_rank": (
        "Effective rank",
        "RankMe: directions that features of test images use, by the entropy of their spread",
    ),
    "effective_rank_share": (
        "Effective rank, share",
        "Of the largest that these images and features can have; near 0 = collapsed",
    ),
    "lidar": (
        "LiDAR",
        "Directions that tell test images apart, relative to what changes with the view",
    ),
    "alignment": (
        "Alignment",
        "Squared distance of two views of a test image on the unit sphere; 0 = equal or collapsed",
    ),
    "uniformity": (
        "Uniformity",
        "Nats: log of the mean potential of pairs of test images; 0 = collapsed, smaller = even",
    ),
    "mine": (
        "Information with the image, by MINE",
        "Donsker-Varadhan value in nats on test images; compare under one protocol only",
    ),
    "ndm": (
        "Dependence among coordinates, by NDM",
        "Donsker-Varadhan value in nats on test images; 0 = independent coordinates",
    ),
    "ndm_of_draws": (
        "The same of posterior samples",
        "With one posterior sample per test image, to which the prior applies, instead of its mean",
    ),
    "ndm_after_sigmoid": (
        "The same after the sigmoid",
        "To which the uniform prior applies; the same true value with other inputs of the critic",
    ),
    "retrieval": (
        "Retrieval",
        "Share of anchors whose positive has the highest score among the candidates of test images",
    ),
    "retrieval_chance": ("Retrieval by chance", "One in the number of candidates"),
    "nats": (
        "Information",
        "Nats: InfoNCE of the critics' scores on test images, a lower bound; at most the logarithm "
        "of the number of candidates",
    ),
    "bound": (
        "Information with the seed patch",
        "Nats: a lower bound, log N - cross-entropy of one of N patches on fresh transformations; "
        "logits: the method's own softmax, others: a linear one fitted to the frozen features",
    ),
    "bound_ceiling": ("Ceiling of that information", "Nats: the logarithm of N"),
    "surrogate_accuracy": (
        "Seed patches recognised",
        "Share of the transformed patches that are classified correctly",
    ),
    "mean_loss": (
        "Surrogate loss of the mean",
        "Nats: the cross-entropy of the logits' mean over transformations; smaller is better",
    ),
    "variation": (
        "Surrogate loss of the variation",
        "Nats: the increase by transformations; 0 = logits that do not change",
    ),
    "purity@4_sigmoid": (
        "The same after the sigmoid",
        "Neighbours by sigmoid(y), to which the uniform prior applies",
    ),
    "purity@4": (
        "Class purity of four neighbours",
        "Share of the four nearest test images that have the class of the query",
    ),
    "ms_ssim": (
        "MS-SSIM of reconstructions",
        "Similarity of test images and their reconstructions from the features; 1 = equal",
    ),
    "ms_ssim_scales": ("Scales of that MS-SSIM", "As many as the image size allows"),
    "ssim_dim_compat": (
        "The released DIM code's MS-SSIM",
        "Single-scale with a nearly flat window; the one to compare with DIM's table",
    ),
    "follows_pixel": (
        "Images classified by the pixel",
        "Share of test images with the pixel of another class that are taken for that class",
    ),
    "attributes_judged": (
        "Attributes judged",
        "Those that have both values in the training and the test images used",
    ),
    "reconstruction_error": (
        "Reconstruction error",
        "Mean squared error of decoded test images, pixels in [-1, 1]; smaller is better",
    ),
    "code_recovery": (
        "Recovery of drawn codes",
        "Cosine of E(G(z)) and z, mean over prior samples; 1 = recovered, 0 = not at all",
    ),
    "code_recovery_chance": (
        "Recovery of drawn codes, by chance",
        "The same with another code in place of z",
    ),
    "code_error": (
        "Error of recovered codes",
        "Squared distance of E(G(z)) to z over that to another code; 0 = recovered, 1 = chance",
    ),
    "image_error": (
        "Error of regenerated images",
        "Mean squared error per pixel of G(E(x)) against x; compare it with the next number",
    ),
    "image_error_random": (
        "Error against other images",
        "The same of G(E(x)) against another test image",
    ),
    "nearest_distance_ratio": (
        "Distance of samples to training images",
        "To the nearest, in pixels, relative to that of test images; near 0 = copies",
    ),
    "score_mean_real": ("Score of test images", "Mean of y"),
    "score_std_real": (
        "Deviation of scores of test images",
        "Standard deviation of y over test images",
    ),
    "score_mean_generated": ("Score of generated images", "Mean of y"),
    "score_std_generated": (
        "Deviation of scores of generated images",
        "Standard deviation of y over generated images",
    ),
    "score_overlap": (
        "Overlap of scores",
        "Of the histograms of real and generated images; 100 % = equal, 0 = no gradient",
    ),
    "score_overlap_targets": (
        "Overlap of the targets",
        "Of the normal distributions that the method matches the scores to",
    ),
    "modes": ("Classes of points", "Modes of the data"),
    "modes_covered": (
        "Classes of points reached",
        "Those with at least a tenth of their share of the generated points",
    ),
    "high_quality": (
        "Points of a class",
        "Share of generated points within three deviations of a class",
    ),
    "high_quality_real": ("Training points of a class", "The value of perfect samples"),
    "energy_distance": (
        "Energy distance",
        "Of generated and test points, without bias; 0 = the same distribution",
    ),
    "energy_distance_real": (
        "Energy distance of training points",
        "Of as many training points and the test points; 0 but for chance",
    ),
    "rate": ("Rate", "KL divergence of the posterior from the prior, nats for each test image"),
    "elbo": ("Evidence lower bound", "Nats for each test image, of the model with beta 1"),
    "importance_weighted_bound": (
        "Importance-weighted bound",
        "A tighter bound of the same evidence in nats, at least the ELBO of the same samples",
    ),
    "active_coordinates": (
        "Active coordinates",
        "Those whose posterior mean varies by more than 0.01 over test images",
    ),
    "entropy": (
        "Entropy of the mean response",
        "Nats; at most the logarithm of the number of channels, if all are used equally often",
    ),
    "entropy_fraction": (
        "The same relative to its maximum",
        "Fraction of the logarithm of the number of channels",
    ),
    "information": (
        "Information of patch and embedding",
        "Nats: a lower bound on test images; at most the logarithm of the number compared",
    ),
    "information_shuffled": (
        "The same of mismatched pairs",
        "At most 0 up to chance; far below 0 if embeddings have small variances",
    ),
    "information_ceiling": (
        "Ceiling of that information",
        "The logarithm of the number of images compared",
    ),
    "used": (
        "Channels in use",
        "Share of those with more than a tenth of the uniform share of the mean response",
    ),
    "positions": (
        "Distinct positions",
        "Channels in use that are further apart than 1 % of the span of all of them",
    ),
    "order": (
        "Order of the filters",
        "Rank correlation of the distances of positions and of filters; 0 = none",
    ),
}
_LARGER_IS_BETTER = {
    *("precision", "recall", "inception_score"),
    *("accuracy", "balanced_accuracy", "purity@4", "purity@4_sigmoid", "retrieval"),
    *("kolmogorov_uniform_passed", "kolmogorov_gaussian_passed", "normality_passed"),
    *("kolmogorov_ball_passed", "kolmogorov_sphere_passed"),
    *("mine", "nats", "bound"),
    *("surrogate_accuracy", "ms_ssim", "ssim_dim_compat", "code_recovery", "elbo"),
    *("importance_weighted_bound", "entropy_fraction", "information", "used", "positions"),
    *("order", "modes_covered", "high_quality"),
}
_SMALLER_IS_BETTER = {
    *("fid", "kid"),
    *("kolmogorov_uniform", "kolmogorov_gaussian", "kolmogorov_ball", "kolmogorov_sphere"),
    *("ndm", "ndm_of_draws", "ndm_after_sigmoid"),
    *("mean_loss", "variation", "reconstruction_error", "code_error", "image_error"),
    *("energy_distance", "follows_pixel"),
}
_SHARES = (
    *("accuracy", "purity", "retrieval", "surrogate_accuracy", "entropy_fraction", "used"),
    *("high_quality", "score_overlap", "effective_rank_share", "follows_pixel"),
)


def evaluation_title(name: str) -> str:
    """An evaluation as a heading: "MLP probe"; its plain name if it is not known here."""
    return _evaluation(name)[0]


# Metrics of training by a part of their names, in the order of the report.
_CURVES = {
    "loss/": "of each player, which it minimises",
    "/loss": "of a term, without penalties",
    "/bound": "the value that the objective maximises",
    "/nats": "a lower bound of the mutual information in nats, from the scores of a batch",
    "/score_joint": "the mean score of pairs that belong together",
    "/score_product": "the mean score of random pairs",
    "prior/confusion": "the encoder's loss against the discriminator of the prior",
    "accuracy": "the share of the training batch that is right",
}


def describe_curves(names: Iterable[str]) -> str:
    """Describes the metrics of training with these names; "" where none is known."""
    names = [*names]
    known = {part: text for part, text in _CURVES.items() if any(part in name for name in names)}
    return f"{'; '.join(f'{part}: {text}' for part, text in known.items())}." if known else ""


def evaluation_phrase(name: str) -> str:
    """An evaluation inside a sentence: "an MLP probe"."""
    return _evaluation(name)[1]


def _evaluation(name: str) -> tuple[str, str]:
    for beginning, words in _EVALUATIONS.items():
        if f"{name}_".startswith(f"{beginning}_"):
            return words
    return name, name


def is_own(evaluation: str) -> bool:
    """True for an evaluation of the method's own classifier."""
    return f"{evaluation}_".startswith(("classifier_", "own_classifier_"))


def metric_title(name: str) -> str:
    """The title of a metric; its name if it is unknown. "fid[inception]" names its network."""
    base, _, network = name.removesuffix("]").partition("[")
    return _METRICS.get(base, (base, ""))[0] + (f" ({network})" if network else "")


def metric_meaning(name: str) -> str:
    """The description of a metric; empty if it is unknown."""
    return _METRICS.get(name.partition("[")[0], ("", ""))[1]


def better(metric: str) -> str | None:
    """Whether the "larger" or the "smaller" value of a metric is the better one.

    None where neither is: chance levels, ceilings, controls, and metrics that are not known here.
    """
    metric = metric.partition("[")[0]
    if metric in _LARGER_IS_BETTER:
        return "larger"
    return "smaller" if metric in _SMALLER_IS_BETTER else None


def is_share(metric: str) -> bool:
    """True for a fraction that is displayed in percent."""
    return metric.startswith(_SHARES)


def labels_title(labels: str) -> str:
    """The label budget as text: "all labels", "10 labels per class", "all labels, permuted"."""
    budget, comma, more = labels.partition(",")
    if budget == "all":
        budget = "all labels"
    elif budget.endswith("per class"):
        budget = f"{budget.split(' ')[0]} labels per class"
    return budget + comma + more
