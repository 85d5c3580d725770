"""The two roads (`data.road`) of a data set: resident in memory, or streaming from disk."""

from dim_jax.data import dataset, fingerprint, lazy, memory, origins, sources


def take(opened: sources.Opened, road: str, worker_threads: int | None) -> dataset.Dataset:
    """The data set on a road; "auto" is resident if the training images fit in memory.

    Only the machine of this process is checked; a run raises an error if its processes differ (see
    `run_metadata.identity`).

    Raises:
      UserError: an image that cannot be read; images that do not fit in memory; test images that
        are the training images.
    """
    stored = None
    if all(hasattr(source, "origin") for source in opened.sources.values()):
        stored = {role: source.origin() for role, source in opened.sources.items()}
        origins.check(opened.facts.name, stored["train"], stored["test"])
    train, facts = opened.sources["train"], opened.facts
    needed = memory.needed((len(train), *facts.shape), facts.dtype)
    streamed = road == "streaming" or (road == "auto" and not memory.fits(needed))
    counts = {role: len(source) for role, source in opened.sources.items()}
    identity = opened.fingerprint or fingerprint.of(facts.name, facts.classes, counts)
    if not streamed:
        reason = f"resident: {memory.size(needed)}" + (" fit in memory" if road == "auto" else "")
        return dataset.Dataset(
            facts,
            {role: _load(source, worker_threads) for role, source in opened.sources.items()},
            reason,
            opened.notes,
            identity,
            stored,
        )
    reason = f"streamed from disk: decoded {memory.size(needed)}"
    reason += ", as data.road asks" if road == "streaming" else f", and {memory.describe_limit()}"
    splits = {}
    for role, source in opened.sources.items():
        images = lazy.Images(source, worker_threads)
        splits[role] = dataset.Split(images, lazy.Labels(images), source.names)
    return dataset.Dataset(facts, splits, reason, opened.notes, identity, stored)


def _load(source: sources.Source, worker_threads: int | None) -> dataset.Split:
    images, labels, attributes = sources.read_all(source, worker_threads)
    return dataset.Split(images, labels, source.names, sources.binary_attributes(attributes))
