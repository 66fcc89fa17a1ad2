"""The algorithms of a suite against each other."""

from typing import NamedTuple

from sb3_dpg.benchmark.analysis.statistics import (
    Estimates,
    aggregates,
    interval_estimates,
    iqm,
    probabilities_of_improvement,
)
from sb3_dpg.benchmark.analysis.suite import Suite


class Comparison(NamedTuple):
    """
    Each a point estimate for each algorithm, and its interval.

    :param suite: What is compared
    :param final: Aggregates of the last evaluations
    :param average: Interquartile mean of the averages over all evaluations
    :param improvement: Probability that a run of the first algorithm is better than one of each other
    """

    suite: Suite
    final: tuple[Estimates, Estimates]
    average: tuple[Estimates, Estimates]
    improvement: tuple[Estimates, Estimates]


def compare(suite: Suite) -> Comparison | None:
    """
    :param suite: What to compare
    :return: The comparison, None if there is nothing to compare
    """
    if not suite.algorithms:
        return None
    return Comparison(
        suite,
        final=interval_estimates(suite.final, aggregates),
        average=interval_estimates(suite.average, iqm),
        improvement=probabilities_of_improvement(suite.final, suite.algorithms[0]),
    )
