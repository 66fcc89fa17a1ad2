"""What is said about all environments of a suite together."""

from sb3_dpg.benchmark.analysis.comparison import Comparison
from sb3_dpg.benchmark.analysis.statistics import AGGREGATES, REPETITIONS
from sb3_dpg.benchmark.analysis.suite import MIN_SEEDS
from sb3_dpg.benchmark.report.markdown import items, table, with_interval


def aggregate_section(comparison: Comparison) -> str:
    """
    :param comparison: The algorithms against each other
    :return: The section of the report
    """
    suite = comparison.suite
    parts = [
        "## All environments together\n",
        f"Normalised scores of the last evaluation, {len(suite.seeds)} seeds x {len(suite.environments)} environments "
        f"({', '.join(suite.environments)}), with 95 % stratified bootstrap intervals ({REPETITIONS:,} resamples).\n",
        items(headline(comparison)),
        aggregate_table(comparison),
    ]
    if len(suite.algorithms) > 1:
        parts.append(improvement_table(comparison))
    return "\n".join(parts)


def headline(comparison: Comparison) -> list[str]:
    """
    :param comparison: The algorithms against each other
    :return: A sentence about the first and each other
    """
    points, intervals = comparison.final
    first, *others = comparison.suite.algorithms
    estimates = {name: with_interval(points[name][0], intervals[name][:, 0], 2) for name in (first, *others)}
    low, high = intervals[first][:, 0]
    sentences = []
    for other in others:
        other_low, other_high = intervals[other][:, 0]
        relation = "above" if points[first][0] > points[other][0] else "not above"
        apart = "the intervals do not overlap" if low > other_high or other_low > high else "the intervals overlap"
        if len(comparison.suite.seeds) < MIN_SEEDS:
            apart = "too few seeds to conclude anything"
        sentences.append(
            f"{first}: interquartile mean {estimates[first]}, {relation} that of {other}, {estimates[other]}; {apart}."
        )
    return sentences


def aggregate_table(comparison: Comparison) -> str:
    """
    :param comparison: The algorithms against each other
    :return: A table of all aggregates
    """
    points, intervals = comparison.final
    averages, average_intervals = comparison.average
    rows = []
    for name in comparison.suite.algorithms:
        final = [with_interval(point, interval, 2) for point, interval in zip(points[name], intervals[name].T, strict=True)]
        rows.append([name, *final, with_interval(averages[name][0], average_intervals[name][:, 0], 2)])
    return table(["algorithm", *AGGREGATES, "IQM of the mean over training"], rows)


def improvement_table(comparison: Comparison) -> str:
    """
    :param comparison: The algorithms against each other
    :return: A table of the first algorithm against each other
    """
    points, intervals = comparison.improvement
    rows = [[pair, with_interval(points[pair].item(), intervals[pair][:, 0], 2)] for pair in points]
    return table(["a run of the first is better than one of the other", "probability [95 % CI]"], rows)
