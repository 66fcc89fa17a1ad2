"""The tables over all environments of a suite."""

from sb3_dpg.benchmark.analysis.statistics import (
    AGGREGATES,
    REPETITIONS,
    Estimates,
    aggregates,
    interval_estimates,
    iqm,
    probabilities_of_improvement,
)
from sb3_dpg.benchmark.analysis.suite import Suite
from sb3_dpg.benchmark.report.markdown import table, with_interval


def headline(algorithms: list[str], points: Estimates, intervals: Estimates) -> list[str]:
    """
    :param algorithms: Names; the first is compared with the others
    :param points: Aggregates of each
    :param intervals: Their intervals
    :return: A sentence for each comparison
    """
    first, *others = algorithms
    sentences = []
    for other in others:
        (low, high), (other_low, other_high) = intervals[first][:, 0], intervals[other][:, 0]
        relation = "above" if points[first][0] > points[other][0] else "not above"
        apart = "do not overlap" if low > other_high or other_low > high else "overlap"
        sentences.append(
            f"{first}: interquartile mean {with_interval(points[first][0], intervals[first][:, 0], 2)}, {relation} "
            f"that of {other}, {with_interval(points[other][0], intervals[other][:, 0], 2)}; the intervals {apart}."
        )
    return sentences


def aggregate_table(suite: Suite, points: Estimates, intervals: Estimates) -> str:
    """
    :param suite: What is aggregated
    :param points: Aggregates of the last evaluations
    :param intervals: Their intervals
    :return: A table
    """
    areas, area_intervals = interval_estimates(suite.average, iqm, REPETITIONS)
    rows = [
        [
            algorithm,
            *(
                with_interval(points[algorithm][column], intervals[algorithm][:, column], 2)
                for column in range(len(AGGREGATES))
            ),
            with_interval(areas[algorithm][0], area_intervals[algorithm][:, 0], 2),
        ]
        for algorithm in suite.algorithms
    ]
    return table(["algorithm", *AGGREGATES, "IQM of the mean over training"], rows)


def improvement_table(suite: Suite) -> str:
    """
    :param suite: What is compared
    :return: A table of the first algorithm against each other
    """
    points, intervals = probabilities_of_improvement(suite.final, suite.algorithms[0])
    rows = [[pair, with_interval(points[pair].item(), intervals[pair][:, 0], 2)] for pair in points]
    return table(["a run of the first is better than one of the other", "probability [95 % CI]"], rows)


def final_aggregates(suite: Suite) -> tuple[Estimates, Estimates]:
    """
    :param suite: What is aggregated
    :return: The aggregates of the last evaluations, and their intervals
    """
    return interval_estimates(suite.final, aggregates, REPETITIONS)
