"""Single runs: normalised scores, whether agents keep what they have learned, how long they take to solve a task."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import yaml

from sb3_dpg.benchmark.provenance import processor_of

Returns = TypeVar("Returns", float, np.ndarray)

REFERENCE_FILE = "reference_scores.yml"
#: Share of the best score, above that of a random agent, whose loss counts as a collapse
LOSS = 0.2
#: Share of the best score so far, above that of a random agent, below which an agent has fallen
HELD = 0.6


class Reference(NamedTuple):
    """
    The scale of one environment: 0 is a random agent, 1 the agent of a source.

    :param random: Mean return of uniformly random actions
    :param random_source: How that was measured
    :param reference: Return that counts as 1
    :param reference_source: Whose return that is
    """

    random: float
    random_source: str
    reference: float
    reference_source: str

    def normalise(self, returns: Returns) -> Returns:
        """Returns of any shape as normalised scores."""
        return (returns - self.random) / (self.reference - self.random)


def load_references() -> dict[str, Reference]:
    """The scale of each environment that has one."""
    path = Path(str(resources.files("sb3_dpg.benchmark"))) / REFERENCE_FILE
    return {name: Reference(**entry) for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items()}


def lost(scores: np.ndarray) -> np.ndarray:
    """
    Which seeds lost more than 20 % of their best score. The zero of the scale is a random agent; who never was better than
    that had nothing to lose.

    :param scores: Normalised scores of the evaluations in their order, (n_seeds, n_points)
    :return: Whether each did, (n_seeds,)
    """
    best = scores.max(axis=1)
    return np.asarray((best > 0) & (best - scores[:, -1] > LOSS * best))


def fallen(scores: np.ndarray) -> np.ndarray:
    """
    How often agents are far below what they could do. Shares of a score that is not positive mean nothing: an evaluation
    before which there was no positive one does not count as fallen.

    :param scores: Normalised scores of the evaluations in their order, (n_seeds, n_points)
    :return: Of the evaluations in the second half of training the share with less than 60 % of the best score so far, nan for
        a seed that never has a positive one, (n_seeds,)
    """
    best = np.maximum.accumulate(scores, axis=1)
    half = scores.shape[1] // 2
    shares = ((best > 0) & (scores < HELD * best))[:, half:].mean(axis=1)
    return np.where(best[:, -1] > 0, shares, np.nan)


class TimeToSolve(NamedTuple):
    """
    Medians over the seeds, of which those that never get there count as infinitely slow.

    :param reached: How many seeds get there
    :param steps: Environment steps until then
    :param cpu_seconds: Seconds of computing until then, without evaluations
    """

    reached: int
    steps: float
    cpu_seconds: float


def time_to_solve(runs: Mapping[int, pd.DataFrame], threshold: float, in_a_row: int = 1) -> TimeToSolve:
    """
    :param runs: Evaluations of each seed, by step; all from one kind of processor
    :param threshold: The return that counts as solved
    :param in_a_row: How many evaluations in a row must have a mean return of at least that; the last of them counts
    :return: How long it takes
    """
    times = np.full((len(runs), 2), np.inf)
    for time, run in zip(times, runs.values(), strict=True):
        held = run[(run["mean_return"] >= threshold).rolling(in_a_row).sum() == in_a_row]
        if len(held):
            time[:] = held.index[0], held["cpu_time"].iloc[0]
    steps, cpu_seconds = np.median(times, axis=0)
    return TimeToSolve(int(np.isfinite(times[:, 0]).sum()), float(steps), float(cpu_seconds))


def by_processor(runs: Mapping[int, pd.DataFrame]) -> dict[str, dict[int, pd.DataFrame]]:
    """Evaluations of each seed, for each kind of processor: the CPU seconds of two are not comparable."""
    groups: dict[str, dict[int, pd.DataFrame]] = {}
    for seed, run in runs.items():
        groups.setdefault(processor_of(str(run["machine"].iloc[0])), {})[seed] = run
    return groups
