"""Aggregates and intervals by rliable (Agarwal et al. 2021, https://arxiv.org/abs/2108.13264), reproducibly."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from rliable import library, metrics

#: Resampled data sets, as many as rliable takes for performance profiles
REPETITIONS = 2_000
BOOTSTRAP_SEED = 0

Estimates = dict[str, np.ndarray]
#: Interquartile mean, median over environments of the mean, mean, and optimality gap
AGGREGATES = {
    "IQM": lambda scores: iqm(scores).item(),
    "median": metrics.aggregate_median,
    "mean": metrics.aggregate_mean,
    "optimality gap": metrics.aggregate_optimality_gap,
}


@contextmanager
def _bootstrap_seed() -> Iterator[None]:
    """Fix the resampling. rliable draws from NumPy's global generator, whatever its argument ``random_state`` says."""
    state = np.random.get_state()
    np.random.seed(BOOTSTRAP_SEED)
    try:
        yield
    finally:
        np.random.set_state(state)


def interval_estimates(
    scores: Mapping[str, np.ndarray | tuple[np.ndarray, np.ndarray]], aggregate: Callable[..., np.ndarray]
) -> tuple[Estimates, Estimates]:
    """
    Point estimates with 95 % stratified bootstrap intervals.

    :param scores: Scores of each algorithm, (n_seeds, n_environments, ...), or of two, which are resampled independently
    :param aggregate: From scores to one or more figures, (n,)
    :return: For each algorithm the figures, (n,), and their intervals, (2, n)
    """
    points: Estimates = {}
    intervals: Estimates = {}
    for algorithm, values in scores.items():
        # Each from the same seed: the figures of one do not depend on which others there are
        with _bootstrap_seed():
            point, interval = library.get_interval_estimates({algorithm: values}, aggregate, reps=REPETITIONS)
        points |= point
        intervals |= interval
    return points, intervals


def aggregates(scores: np.ndarray) -> np.ndarray:
    """Those of ``AGGREGATES``, (4,), of normalised scores, (n_seeds, n_environments)."""
    return np.array([aggregate(scores) for aggregate in AGGREGATES.values()])


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean, (1,), of scores, (n_seeds, n_environments)."""
    return iqm_curve(scores[..., None])


def iqm_curve(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean at each point, (n_points,), of scores, (n_seeds, n_environments, n_points)."""
    # metrics.aggregate_iqm of each point, without the checks of scipy's trim_mean, which take ten times as long
    runs = scores.reshape(-1, scores.shape[-1])
    cut = len(runs) // 4
    ordered = np.partition(runs, (cut, len(runs) - cut - 1), axis=0)
    return np.asarray(ordered[cut : len(runs) - cut].mean(axis=0))


def performance_profiles(scores: Mapping[str, np.ndarray], thresholds: np.ndarray) -> tuple[Estimates, Estimates]:
    """
    :param scores: Normalised scores of each algorithm, (n_seeds, n_environments)
    :param thresholds: Scores, (n_thresholds,)
    :return: For each algorithm the share of runs with a score above each threshold, (n_thresholds,), and its interval
    """

    def profile(values: np.ndarray) -> np.ndarray:
        return np.asarray(library.score_distributions(values, thresholds))

    return interval_estimates(scores, profile)


def probabilities_of_improvement(scores: Mapping[str, np.ndarray], first: str) -> tuple[Estimates, Estimates]:
    """
    :param scores: Scores of each algorithm, (n_seeds, n_environments)
    :param first: One of the algorithms
    :return: For each other algorithm, as "first > other", the probability that a run of the first has a higher score than one
        of the other on a random environment, (1,), and its interval, (2, 1)
    """
    pairs = {f"{first} > {other}": (scores[first], scores[other]) for other in scores if other != first}

    def improvement(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        # As metrics.probability_of_improvement, where scipy's test also works out an unused p-value
        differences = ours[:, None] - theirs
        return np.array([((differences > 0) + 0.5 * (differences == 0)).mean()])

    return interval_estimates(pairs, improvement)
