"""The tables of single environments."""

from collections.abc import Mapping

import numpy as np

from sb3_dpg.benchmark.analysis.references import Reference
from sb3_dpg.benchmark.analysis.selection import Selection
from sb3_dpg.benchmark.analysis.stability import stability
from sb3_dpg.benchmark.analysis.statistics import interval_estimates, iqm
from sb3_dpg.benchmark.analysis.thresholds import time_to_threshold
from sb3_dpg.benchmark.plan import Environment
from sb3_dpg.benchmark.report.markdown import number, return_digits, table, with_interval


def environment_section(selection: Selection, environment: Environment, reference: Reference | None) -> str:
    """
    :param selection: Complete runs
    :param environment: An environment
    :param reference: Its scale, None if it has none
    :return: Its section of the report
    """
    algorithms = list(selection.runs[environment.id])
    title = f"### {environment.id}, {environment.steps:,} steps\n\n"
    if not algorithms:
        return title + "No results yet.\n"
    parts = [title, _returns_table(selection, environment.id, reference)]
    if environment.threshold is not None:
        parts += ["\n", _threshold_table(selection, environment, environment.threshold)]
    return "".join(parts)


def _returns_table(selection: Selection, environment: str, reference: Reference | None) -> str:
    """Last and best returns of each algorithm, and what it lost between them."""
    header = [
        "algorithm",
        "seeds",
        "last return: IQM [95 % CI]",
        "mean ± std",
        "mean over training",
        "best",
        "drop",
        "lost > 20 %",
    ]
    rows = []
    for algorithm, runs in selection.runs[environment].items():
        returns = selection.mean_returns(environment, algorithm).to_numpy()
        last, best = returns[:, -1], returns.max(axis=1)
        digits = return_digits(returns)
        points, intervals = interval_estimates({algorithm: last[:, None]}, iqm)
        rows.append(
            [
                algorithm,
                str(len(runs)),
                with_interval(points[algorithm][0], intervals[algorithm][:, 0], digits),
                f"{number(last.mean(), digits)} ± {number(last.std(), digits)}",
                number(returns.mean(), digits),
                number(best.mean(), digits),
                number((best - last).mean(), digits),
                _lost(returns, reference),
            ]
        )
    return table(header, rows)


def _lost(returns: np.ndarray, reference: Reference | None) -> str:
    if reference is None:
        return "-"
    lost = stability(reference.normalise(returns)).lost
    return f"{lost.sum()} of {len(lost)}"


def _threshold_table(selection: Selection, environment: Environment, threshold: float) -> str:
    """How long each algorithm took to reach a return."""
    header = [f"return of {threshold:,.12g}", "seeds that reach it", "steps", "CPU seconds", "seconds", "steps/s"]
    rows = []
    for algorithm, runs in selection.runs[environment.id].items():
        time = time_to_threshold(runs, threshold)
        rate = float(np.median([run["steps_per_second"].iloc[-1] for run in runs.values()]))
        rows.append(
            [
                algorithm,
                f"{time.reached} of {len(runs)}",
                number(time.steps),
                number(time.cpu_seconds, 1),
                number(time.seconds, 1),
                number(rate),
            ]
        )
    return table(header, rows)


def explanation(references: Mapping[str, Reference]) -> str:
    """
    :param references: The scale of each environment in the report
    :return: What the columns mean, and where the scale of normalised scores comes from
    """
    rows = [
        [name, number(scale.random, 1), scale.random_source, number(scale.reference, 1), scale.reference_source]
        for name, scale in references.items()
    ]
    return (
        "Each run is one seed. *Last return* is that of the last evaluation; IQM: interquartile mean over the seeds, with its "
        "95 % bootstrap interval (of fewer than 4 seeds it is the mean: there is nothing to trim); ±: standard deviation over "
        "the seeds, not corrected for their number. *Best*: mean over the seeds of each one's best evaluation; *drop*: from "
        "there to the last. *Lost > 20 %*: seeds whose last normalised score is more than a fifth below their best one. Times "
        "to a return are medians over the seeds, counting those that never reach it as infinitely slow ('-'); training time "
        "only, without evaluations. CPU seconds are the comparable ones where a machine was shared.\n\n"
        "Normalised score: 0 is a random agent, 1 the reference.\n\n"
        + table(["environment", "random", "how measured", "reference", "source"], rows)
    )
