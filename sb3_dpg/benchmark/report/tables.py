"""The tables of a report, in Markdown."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sb3_dpg.benchmark.analysis.scores import HELD, Reference, TimeToSolve, by_processor, fallen, lost, time_to_solve
from sb3_dpg.benchmark.analysis.selection import Selection
from sb3_dpg.benchmark.analysis.statistics import AGGREGATES, REPETITIONS, interval_estimates, iqm
from sb3_dpg.benchmark.analysis.suite import Comparison
from sb3_dpg.benchmark.configuration import Configuration, Environment, EvaluationProtocol, Plan

#: In place of a processor's name
SEVERAL = "several"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], n_texts: int = 1) -> str:
    """A table of columns of text and, behind them, of numbers."""
    alignment = [":--"] * n_texts + ["--:"] * (len(header) - n_texts)
    lines = [[cell.replace("|", "\\|") for cell in cells] for cells in [header, alignment, *rows]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def items(lines: Sequence[str]) -> str:
    """A list of sentences."""
    return "".join(f"- {line}\n" for line in lines)


def _number(value: float, digits: int = 0) -> str:
    """Its text, "-" if it is not finite."""
    if not np.isfinite(value):
        return "-"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def _with_interval(value: float, interval: np.ndarray, digits: int = 0) -> str:
    """An estimate and its interval, (2,), where it has a width: resampling one seed gives none."""
    low, high = (_number(end, digits) for end in interval)
    return _number(value, digits) + (f" [{low}, {high}]" if interval[0] < interval[1] else "")


def _return_digits(values: np.ndarray) -> int:
    """How many digits behind the point the returns of an environment are worth."""
    largest = float(np.abs(values).max())
    return 0 if largest >= 1000 else 1 if largest >= 10 else 3


def time_to_solve_section(selection: Selection) -> str:
    """The section on time to solve; empty if no environment has both a threshold and runs."""
    rows = [row for environment in selection.plan.environments for row in _time_to_solve_rows(selection, environment)]
    if not rows:
        return ""
    once, twice = "once: ", "two in a row: "
    header = ["environment", "algorithm", "processor"]
    header += [f"{when}{what}" for when in (once, twice) for what in ("seeds", "steps", "CPU s")]
    return (
        "## Time to solve\n\n"
        "Environment steps, and CPU seconds of training without evaluations, until the mean return of an evaluation first is "
        "at least the one behind the environment's name, and until two evaluations in a row are: medians over the seeds, of "
        "which those that never get there count as infinitely slow; those that failed or are missing do not count. *CPU ms a "
        "step*: median over the seeds, of the whole training, its first random steps included. Other work on the machine "
        "makes CPU seconds larger. Those of two kinds of processor are never in one row: where seeds ran on several, a row of "
        "all of them has the steps alone.\n\n" + _table([*header, "CPU ms a step"], rows, n_texts=3)
    )


def _time_to_solve_rows(selection: Selection, environment: Environment) -> list[list[str]]:
    """
    A row for each algorithm and each kind of processor that it was run on; before these, where they are several, one of all
    seeds without CPU seconds. None without a threshold.
    """
    if environment.threshold is None:
        return []
    rows = []
    for algorithm, all_runs in selection.runs[environment.id].items():
        groups = by_processor(all_runs)
        for processor, runs in (({SEVERAL: all_runs} if len(groups) > 1 else {}) | groups).items():
            row = [f"{environment.id}, {environment.threshold:,.12g}", algorithm, processor]
            for in_a_row in (1, 2):
                time = time_to_solve(runs, environment.threshold, in_a_row)
                time = time._replace(cpu_seconds=np.nan) if processor == SEVERAL else time
                row += _time_cells(time, len(runs), environment.steps)
            milliseconds = np.median([1000 * run["cpu_time"].iloc[-1] / run.index[-1] for run in runs.values()])
            rows.append([*row, "-" if processor == SEVERAL else _number(float(milliseconds), 2)])
    return rows


def _time_cells(time: TimeToSolve, n_seeds: int, n_steps: int) -> list[str]:
    steps = _number(time.steps) if np.isfinite(time.steps) else f"not in {n_steps:,}"
    return [f"{time.reached} of {n_seeds}", steps, _number(time.cpu_seconds, 1)]


def summary_section(selection: Selection, comparison: Comparison | None) -> str:
    """The first table of the report: a line for each algorithm that has runs."""
    returns = {
        environment: {algorithm: selection.mean_returns(environment, algorithm).to_numpy() for algorithm in algorithms}
        for environment, algorithms in selection.runs.items()
        if algorithms
    }
    rows = []
    for algorithm in selection.plan.algorithms:
        if not any(algorithm in by_algorithm for by_algorithm in returns.values()):
            continue
        row = [algorithm]
        for by_algorithm in returns.values():
            digits = min(_return_digits(values) for values in by_algorithm.values())
            last = by_algorithm[algorithm][:, -1] if algorithm in by_algorithm else None
            row.append("-" if last is None else f"{_number(last.mean(), digits)} ({len(last)})")
        if comparison is not None:
            points, intervals = comparison.final
            is_in = algorithm in points
            number = len(comparison.suite.seeds.get(algorithm, []))
            row.append(f"{_with_interval(points[algorithm][0], intervals[algorithm][:, 0], 2)} ({number})" if is_in else "-")
        rows.append(row)
    score = ""
    if comparison is not None:
        scored = comparison.suite.environments
        over = "all environments" if len(scored) == len(returns) else ", ".join(scored)
        score = f"; *score*: their interquartile mean, normalised, over {over}, with its 95 % interval"
    return f"Mean return of the last evaluation (number of seeds){score}.\n\n" + _table(
        ["algorithm", *returns, *(["score"] if comparison is not None else [])], rows
    )


def holding_section(selection: Selection, references: Mapping[str, Reference]) -> str:
    """The section on whether agents hold what they have reached; empty if none was ever better than a random agent."""
    rows = []
    for environment, algorithms in selection.runs.items():
        scale = references.get(environment)
        for algorithm in algorithms:
            returns = selection.mean_returns(environment, algorithm).to_numpy()
            shares = fallen(returns if scale is None else scale.normalise(returns))
            shares = shares[np.isfinite(shares)]
            if len(shares):
                drop = returns.max(axis=1) - returns[:, -1]
                cells = [f"{100 * shares.mean():.0f} %", f"{100 * shares.max():.0f} %"]
                cells += [_number(value, _return_digits(returns)) for value in (drop.mean(), drop.max())]
                rows.append([environment, algorithm, f"{len(shares)} of {len(returns)}", *cells])
    if not rows:
        return ""
    worst = "in the worst seed"
    header = ["environment", "algorithm", "seeds", f"below {100 * HELD:.0f} %", worst, "best minus last", worst]
    return (
        "## Holding\n\n"
        f"Share of the evaluations in the second half of training with less than {100 * HELD:.0f} % of the best normalised "
        "score so far (of the best return, where there is no scale), of the seeds that had a positive one; and by how much "
        "the last return is below the best, of all seeds: their mean, and the worst.\n\n" + _table(header, rows, n_texts=2)
    )


def aggregate_section(comparison: Comparison) -> str:
    """The section on all environments together."""
    suite = comparison.suite
    numbers = sorted({len(seeds) for seeds in suite.seeds.values()})
    parts = [
        "## All environments together\n",
        f"Normalised scores of the last evaluation, {' or '.join(map(str, numbers))} seeds x {len(suite.environments)} "
        f"environments ({', '.join(suite.environments)}), with 95 % stratified bootstrap intervals ({REPETITIONS:,} "
        "resamples). *Median*: over the environments, of the mean over the seeds; *optimality gap*: how far scores are below "
        "1 on average, the smaller the better.\n",
        _aggregate_table(comparison),
    ]
    if comparison.improvement[0]:
        parts.append(_improvement_table(comparison))
    return "\n".join(parts)


def _aggregate_table(comparison: Comparison) -> str:
    points, intervals = comparison.final
    averages, average_intervals = comparison.average
    rows = []
    for name in comparison.suite.algorithms:
        final = [_with_interval(point, interval, 2) for point, interval in zip(points[name], intervals[name].T, strict=True)]
        rows.append([name, *final, _with_interval(averages[name][0], average_intervals[name][:, 0], 2)])
    return _table(["algorithm", *AGGREGATES, "IQM of the mean over training"], rows)


def _improvement_table(comparison: Comparison) -> str:
    """The first algorithm against each other."""
    points, intervals = comparison.improvement
    rows = [[pair, _with_interval(points[pair].item(), intervals[pair][:, 0], 2)] for pair in points]
    return _table(["a run of the first is better than one of the other", "probability [95 % CI]"], rows)


def environment_section(selection: Selection, environment: Environment, reference: Reference | None) -> str:
    """The section of an environment: last and best returns of each algorithm, and what it lost between them."""
    title = f"### {environment.id}, {environment.steps:,} steps\n\n"
    if not selection.runs[environment.id]:
        return title + "No results yet.\n"
    header = ["algorithm", "seeds", "last return: IQM [95 % CI]", "mean ± std", "mean over training", "best", "drop"]
    rows = []
    for algorithm, runs in selection.runs[environment.id].items():
        returns = selection.mean_returns(environment.id, algorithm).to_numpy()
        last, best = returns[:, -1], returns.max(axis=1)
        digits = _return_digits(returns)
        points, intervals = interval_estimates({algorithm: last[:, None]}, iqm)
        losses = None if reference is None else lost(reference.normalise(returns))
        row = [algorithm, str(len(runs)), _with_interval(points[algorithm][0], intervals[algorithm][:, 0], digits)]
        row.append(_number(last.mean(), digits) + (f" ± {_number(last.std(), digits)}" if len(last) > 1 else ""))
        row += [_number(value, digits) for value in (returns.mean(), best.mean(), (best - last).mean())]
        rows.append([*row, "-" if losses is None else f"{losses.sum()} of {len(losses)}"])
    return title + _table([*header, "lost > 20 %"], rows)


def explanation(references: Mapping[str, Reference]) -> str:
    """What the columns of these sections mean, and where the scale of normalised scores comes from."""
    rows = [
        [name, _number(scale.random, 1), scale.random_source, _number(scale.reference, 1), scale.reference_source]
        for name, scale in references.items()
    ]
    return (
        "Each run is one seed. *Last return* is that of the last evaluation; IQM: interquartile mean over the seeds, with its "
        "95 % bootstrap interval (of fewer than 4 seeds it is the mean, as there is nothing to trim; of 2 to 4 the interval "
        "goes from the worst to the best); intervals of so few seeds are too narrow. ±: standard deviation over the seeds, "
        "not corrected for their number. *Best*: mean over the seeds of each one's best evaluation; *drop*: from there to the "
        "last. *Lost > 20 %*: seeds whose last normalised score is more than a fifth below their best one.\n\n"
        "Runs of one seed are evaluated from the same initial states, so compare algorithms on the same seeds. Normalised "
        "score: 0 is a random agent, 1 the reference.\n\n"
        + _table(["environment", "random", "how measured", "reference", "source"], rows)
    )


def protocol_section(selection: Selection) -> str:
    """How agents were trained and evaluated, and with what."""
    plan = selection.plan
    protocols: dict[EvaluationProtocol, dict[str, None]] = {}
    for configuration in plan.configurations:
        protocols.setdefault(configuration.evaluation, {})[configuration.environment] = None
    lines = [
        (f"{', '.join(names)}: " if len(protocols) > 1 else "")
        + f"{protocol.points} evaluations at equal distances, the last at the end, each of {protocol.episodes} episodes with "
        f"{'deterministic' if protocol.deterministic else 'sampled'} actions in an environment of their own."
        for protocol, names in protocols.items()
    ]
    lines.append(f"Seeds: {', '.join(map(str, plan.seeds))}. One thread for each run, on the CPU.")
    runs = [run for algorithms in selection.runs.values() for seeds in algorithms.values() for run in seeds.values()]
    for column, name in {"machine": "Machine", "git_commit": "Commit", "versions": "Software"}.items():
        values = sorted(set(pd.concat([run[column] for run in runs]).astype(str))) if runs else []
        lines += [f"{name}: {value}." for value in values if value]
    return items(lines)


def hyperparameter_section(plan: Plan) -> str:
    """The hyperparameters of each configuration."""
    rows = [
        [configuration.algorithm, configuration.environment, configuration.algo, _hyperparameters(configuration)]
        for configuration in plan.configurations
    ]
    return _table(["algorithm", "environment", "name in rl-zoo3", "hyperparameters"], rows)


def _hyperparameters(configuration: Configuration) -> str:
    shown = {key: value for key, value in sorted(configuration.hyperparameters.items()) if key != "n_timesteps"}
    return ", ".join(f"{key} {_value(value)}" for key, value in shown.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
