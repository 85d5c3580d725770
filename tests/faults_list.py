"""Single-line faults in the package, and for each the test file that should notice it.

Each is a mistake that a contributor could make and that changes a result without an error message.
All but the last eight were chosen from the code alone, before it was known which of them the tests
notice; the last eight were expected to pass unnoticed, and did until tests were added.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Fault:
    """A line, or a part of one, that is replaced in a file.

    line: the original text, which occurs exactly once in the file. fault: what replaces it.
    tests: the test file that should notice; all paths are relative to the repository.
    """

    name: str
    file: str
    line: str
    fault: str
    tests: str


FAULTS = (
    # Losses, bounds, divergences, priors.
    Fault(
        "unlabelled_examples_in_loss",
        "dim_jax/losses/classification.py",
        "jnp.sum(entropies, where=labelled) / count,",
        "jnp.sum(entropies) / count,",
        "tests/test_losses.py",
    ),
    Fault(
        "infonce_mean_for_sum_over_locations",
        "dim_jax/bounds/contrastive.py",
        'weight = pairs.locations if negatives == "locations" else 1',
        "weight = 1",
        "tests/bounds/test_bounds_values.py",
    ),
    Fault(
        "ceiling_of_interpolated",
        "dim_jax/bounds/kullback_leibler.py",
        'Ceiling("log(n - 1)", lambda n: math.log(n - 1))',
        'Ceiling("log(n - 1)", lambda n: math.log(n))',
        "tests/bounds/test_bounds_labels.py",
    ),
    Fault(
        "mine_average_without_stop_gradient",
        "dim_jax/bounds/kullback_leibler.py",
        "now = jax.lax.stop_gradient(log_mean) + math.log1p(-decay)",
        "now = log_mean + math.log1p(-decay)",
        "tests/bounds/test_bounds_truth.py",
    ),
    Fault(
        "joint_mean_by_anchors_of_one_device",
        "dim_jax/bounds/pairs.py",
        "return total / self.anchors",
        "return total / self.shape[0]",
        "tests/bounds/test_bounds_devices.py",
    ),
    Fault(
        "lipschitz_penalty_sign",
        "dim_jax/bounds/divergences.py",
        'excess = slopes - 1 if sided == "two" else jax.nn.relu(slopes - 1)',
        'excess = slopes - 1 if sided == "two" else jax.nn.relu(1 - slopes)',
        "tests/test_divergences.py",
    ),
    Fault(
        "ball_radius_uniform",
        "dim_jax/losses/priors.py",
        "radius = jax.random.uniform(distance, (shape[0], 1)) ** (1 / shape[1])",
        "radius = jax.random.uniform(distance, (shape[0], 1))",
        "tests/test_priors.py",
    ),
    # Networks.
    Fault(
        "rows_centred_along_the_batch",
        "dim_jax/nets/critics.py",
        "normed = normed - normed.mean(-1, keepdims=True)",
        "normed = normed - normed.mean(0, keepdims=True)",
        "tests/test_nets_critics.py",
    ),
    Fault(
        "representation_in_training_mode",
        "dim_jax/nets/pure.py",
        'encoder.apply(weights, state["encoder"], images, train=False)[0])',
        'encoder.apply(weights, state["encoder"], images, train=True)[0])',
        "tests/conformance/test_methods.py",
    ),
    Fault(
        "transposed_kernel_flipped_along_one_axis",
        "dim_jax/nets/convolutions.py",
        "channels, features)[::-1, :, ::-1]",
        "channels, features)[::-1]",
        "tests/test_products.py",
    ),
    Fault(
        "masked_conv_sees_the_row_below",
        "dim_jax/nets/contexts.py",
        "masked = jnp.pad(kernel, ((0, 1), (0, 0), (0, 0), (0, 0)))",
        "masked = jnp.pad(kernel, ((1, 0), (0, 0), (0, 0), (0, 0)))",
        "tests/test_nets_contexts.py",
    ),
    # Methods.
    Fault(
        "dim_penalty_sum_for_mean",
        "dim_jax/methods/dim.py",
        "smoothness = 0.5 * sum(",
        "smoothness = sum(",
        "tests/test_methods_dim.py",
    ),
    Fault(
        "amdim_scores_over_d",
        "dim_jax/methods/amdim.py",
        "return products.dot_of_rows(sources, targets) / sources.shape[-1] ** 0.5",
        "return products.dot_of_rows(sources, targets) / sources.shape[-1]",
        "tests/test_methods_amdim.py",
    ),
    Fault(
        "cpc_sum_for_mean_over_offsets",
        "dim_jax/methods/cpc.py",
        'player_losses = {"encoder": -sum(values) / len(values)}',
        'player_losses = {"encoder": -sum(values)}',
        "tests/test_methods_cpc.py",
    ),
    Fault(
        "cmc_without_temperature",
        "dim_jax/methods/cmc.py",
        "scores = dots / temperature",
        "scores = dots",
        "tests/test_methods_cmc.py",
    ),
    Fault(
        "bigan_encoder_minimises_the_discriminator_loss",
        "dim_jax/methods/bigan.py",
        '"encoder": _separation(on_prior, on_data),',
        '"encoder": _separation(on_data, on_prior),',
        "tests/test_methods_bigan.py",
    ),
    Fault(
        "nat_epoch_from_images_for_steps",
        "dim_jax/methods/nat.py",
        "epoch = step // (examples // len(images))",
        "epoch = step // examples",
        "tests/test_methods_nat.py",
    ),
    Fault(
        "exemplar_labels_view_by_view",
        "dim_jax/methods/exemplar.py",
        'index = jnp.repeat(batch["index"], views)',
        'index = jnp.tile(batch["index"], views)',
        "tests/test_methods_exemplar.py",
    ),
    Fault(
        "manifold_entropy_sign",
        "dim_jax/methods/manifold.py",
        "total -= information[index] * layer_information + entropy[index] * layer_entropy",
        "total -= information[index] * layer_information - entropy[index] * layer_entropy",
        "tests/test_methods_manifold.py",
    ),
    # Training.
    Fault(
        "same_random_numbers_in_every_step",
        "dim_jax/training/train_step.py",
        "return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)",
        "return jax.random.fold_in(jax.random.key(seed), stream)",
        "tests/test_trainer.py",
    ),
    Fault(
        "gradient_of_the_sum_of_players",
        "dim_jax/training/train_step.py",
        "jnp.full_like(value, name == player)",
        "jnp.ones_like(value)",
        "tests/conformance/test_methods.py",
    ),
    Fault(
        "images_per_second_in_batches",
        "dim_jax/training/trainer.py",
        "count * self._durations.batch_size / seconds",
        "count / seconds",
        "tests/test_trainer.py",
    ),
    Fault(
        "schedule_of_all_steps_for_a_rare_player",
        "dim_jax/training/optimizers.py",
        "max(total_steps // every, 1),",
        "total_steps,",
        "tests/test_optimizers.py",
    ),
    Fault(
        "checkpoint_written_in_place",
        "dim_jax/rundir/checkpoint.py",
        'draft = self._directory / f"{_DRAFT}{step}"',
        "draft = self._path(step)",
        "tests/test_checkpoint.py",
    ),
    Fault(
        "best_checkpoint_is_the_worst",
        "dim_jax/rundir/best_checkpoint.py",
        "sign = -1 if smaller else 1",
        "sign = 1 if smaller else -1",
        "tests/test_best_checkpoint.py",
    ),
    # Data and augmentation.
    Fault(
        "epochs_spanned_from_an_epoch_start",
        "dim_jax/data/resident.py",
        "return (steps + steps_per_epoch - 2) // steps_per_epoch + 1",
        "return (steps - 1) // steps_per_epoch + 1",
        "tests/data/test_resident.py",
    ),
    Fault(
        "every_process_reads_the_first_rows",
        "dim_jax/data/streaming.py",
        "index = index[np.asarray(settings.rows)]",
        "index = index[: len(settings.rows)]",
        "tests/data/test_streaming.py",
    ),
    Fault(
        "seed_patches_where_little_changes",
        "dim_jax/data/seeds.py",
        "key = random.standard_exponential(len(weight))[nonzero] / weight[nonzero]",
        "key = random.standard_exponential(len(weight))[nonzero] * weight[nonzero]",
        "tests/data/test_seeds.py",
    ),
    Fault(
        "contrast_around_the_mean_of_the_batch",
        "dim_jax/augment/colour.py",
        "jnp.where(which == 1, luma.mean(axis=(1, 2, 3), keepdims=True), 0.0)",
        "jnp.where(which == 1, luma.mean(keepdims=True), 0.0)",
        "tests/test_augment_colour.py",
    ),
    Fault(
        "one_key_for_all_changes",
        "dim_jax/augment/composition.py",
        "key = jax.random.fold_in(rng, index)",
        "key = rng",
        "tests/test_augment_pipeline.py",
    ),
    # Evaluation.
    Fault(
        "deviation_of_the_population",
        "dim_jax/evaluate/probes/labelled.py",
        "float(np.std(values, ddof=1))",
        "float(np.std(values))",
        "tests/evaluate/test_labelled.py",
    ),
    Fault(
        "knn_queries_not_normalised",
        "dim_jax/evaluate/probes/knn.py",
        "queries = _unit(queries)",
        "queries = queries * 1.0",
        "tests/evaluate/test_knn.py",
    ),
    Fault(
        "svm_strength_chosen_on_the_fitted_part",
        "dim_jax/evaluate/probes/svm.py",
        "correct[index] += right[parts == part].sum()",
        "correct[index] += right[parts != part].sum()",
        "tests/evaluate/test_svm.py",
    ),
    Fault(
        "retrieval_on_training_images",
        "dim_jax/evaluate/measures/retrieval.py",
        'test = dataset.uncut(splits["test"]).images',
        'test = dataset.uncut(splits["train"]).images',
        "tests/evaluate/test_retrieval.py",
    ),
    Fault(
        "ndm_coordinates_permuted_together",
        "dim_jax/evaluate/measures/ndm.py",
        "jax.random.bits(key, (columns, count), jnp.uint32)",
        "jax.random.bits(key, (1, count), jnp.uint32)",
        "tests/evaluate/test_ndm.py",
    ),
    Fault(
        "features_of_other_draws_reused",
        "dim_jax/evaluate/features.py",
        "self._features.setdefault((Images(split), views, draws), {})",
        "self._features.setdefault((Images(split), views), {})",
        "tests/evaluate/test_features.py",
    ),
    # Report.
    Fault(
        "spread_as_a_fraction",
        "dim_jax/report/tables.py",
        "±{100 * row['std']:.1f}",
        "±{row['std']:.1f}",
        "tests/report/test_tables.py",
    ),
    Fault(
        "running_mean_counts_missing_values",
        "dim_jax/report/curves.py",
        "np.maximum(counts[stop] - counts[start], 1)",
        "(stop - start)",
        "tests/report/test_curves.py",
    ),
    Fault(
        "metrics_of_the_resumed_step_dropped",
        "dim_jax/report/writers.py",
        'row.get("step", 0) <= step]',
        'row.get("step", 0) < step]',
        "tests/report/test_writers.py",
    ),
    # Runs.
    Fault(
        "slurm_tasks_of_the_allocation",
        "dim_jax/processes/distributed.py",
        'environment.get("SLURM_STEP_NUM_TASKS", "1")',
        'environment.get("SLURM_NTASKS", "1")',
        "tests/test_distributed.py",
    ),
    Fault(
        "streamed_labels_and_index_swapped",
        "dim_jax/training/input_pipeline.py",
        'for key in ("images", "labels", "index"))',
        'for key in ("images", "index", "labels"))',
        "tests/test_input_pipeline.py",
    ),
    Fault(
        "shared_lock",
        "dim_jax/rundir/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "tests/test_lock.py",
    ),
    Fault(
        "removed_config_keys_ignored",
        "dim_jax/rundir/provenance.py",
        "for key in [*here, *(key for key in there if key not in here)]",
        "for key in here",
        "tests/test_workdir.py",
    ),
    Fault(
        "untrained_control_is_trained",
        "dim_jax/experiment.py",
        "untrained = experiment.freeze(experiment.initial)",
        "untrained = experiment.freeze(final)",
        "tests/test_experiment.py",
    ),
    Fault(
        "metrics_of_the_last_step_of_a_dispatch",
        "dim_jax/training/trainer.py",
        "float(np.mean(values, dtype=np.float64))",
        "float(values[-1])",
        "tests/test_trainer.py",
    ),
    Fault(
        "evaluated_on_the_first_images",
        "dim_jax/data/dataset.py",
        "np.random.RandomState(0).permutation(count)[:limit]",
        "np.arange(count)[:limit]",
        "tests/data/test_data.py",
    ),
    Fault(
        "blur_always_the_least",
        "dim_jax/augment/blur.py",
        "minval=sigmas[0], maxval=sigmas[1]",
        "minval=sigmas[0], maxval=sigmas[0]",
        "tests/test_augment_geometry.py",
    ),
    Fault(
        "luma_of_blue_green_red",
        "dim_jax/data/colours.py",
        "[0.299, 0.587, 0.114]",
        "[0.114, 0.587, 0.299]",
        "tests/test_encoder.py",
    ),
    Fault(
        "encode_and_dot_without_relu",
        "dim_jax/nets/critics.py",
        "(nn.relu(x), (inputs, shortcut))",
        "(x, (inputs, shortcut))",
        "tests/test_nets_critics.py",
    ),
    Fault(
        "bottleneck_without_its_shortcut",
        "dim_jax/nets/folded.py",
        "return nn.relu(x + inputs)",
        "return nn.relu(x)",
        "tests/test_nets_folded.py",
    ),
    Fault(
        "traversals_of_the_coordinates_that_vary_least",
        "dim_jax/evaluate/measures/generative.py",
        'np.argsort(-variances, kind="stable")',
        'np.argsort(variances, kind="stable")',
        "tests/evaluate/test_generative.py",
    ),
    Fault(
        "purity_without_the_sigmoid",
        "dim_jax/evaluate/figures/neighbours.py",
        '("_sigmoid", special.expit(y))',
        '("_sigmoid", y)',
        "tests/evaluate/test_neighbours.py",
    ),
)
