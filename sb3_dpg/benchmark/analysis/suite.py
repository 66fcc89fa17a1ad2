"""The runs that can be aggregated over environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sb3_dpg.benchmark.analysis.references import Reference
from sb3_dpg.benchmark.analysis.selection import Selection

#: Resampling fewer seeds gives intervals that are too narrow, of a single one even points: no conclusion is drawn from them
MIN_SEEDS = 3


@dataclass(frozen=True)
class Suite:
    """
    The algorithms that were run on every environment that has reference scores, with the seeds that all of them have.

    :param algorithms: Names of the algorithms
    :param environments: Ids of the environments
    :param seeds: The seeds
    :param curves: Normalised scores of each algorithm, (n_seeds, n_environments, n_points)
    :param marks: What was left out, and why
    """

    algorithms: list[str]
    environments: list[str]
    seeds: list[int]
    curves: Mapping[str, np.ndarray]
    marks: list[str] = field(default_factory=list)

    @property
    def final(self) -> dict[str, np.ndarray]:
        """Normalised scores of the last evaluation, (n_seeds, n_environments)"""
        return {algorithm: curves[..., -1] for algorithm, curves in self.curves.items()}

    @property
    def average(self) -> dict[str, np.ndarray]:
        """Means of the normalised scores over all evaluations, the area under the curve, (n_seeds, n_environments)"""
        return {algorithm: curves.mean(axis=-1) for algorithm, curves in self.curves.items()}


def make_suite(selection: Selection, references: Mapping[str, Reference]) -> Suite:
    """
    :param selection: Complete runs
    :param references: The scale of each environment
    :return: What of them can be aggregated, perhaps nothing
    """
    planned = dict.fromkeys(configuration.algorithm for configuration in selection.plan.configurations)
    marks = []
    environments = []
    for environment, runs in selection.runs.items():
        if environment not in references:
            marks.append(f"{environment} has no reference scores and is left out of all aggregates.")
        elif not runs:
            marks.append(f"{environment} has no finished runs and is left out of all aggregates.")
        else:
            environments.append(environment)
    algorithms = [name for name in planned if all(name in selection.runs[environment] for environment in environments)]
    partial = [name for name in planned if name not in algorithms]
    if partial:
        marks.append(f"Without finished runs on some environment, so in no aggregate: {', '.join(partial)}.")
    present = [set(selection.runs[environment][name]) for environment in environments for name in algorithms]
    common = set.intersection(*present) if present else set()
    seeds = [seed for seed in selection.plan.seeds if seed in common]
    if set.union(*present, set()) != common:
        marks.append(f"Aggregates use the seeds that all have: {', '.join(map(str, seeds)) or 'there is none'}.")
    if 0 < len(seeds) < MIN_SEEDS:
        marks.append(f"Intervals of fewer than {MIN_SEEDS} seeds say next to nothing: here they are of {len(seeds)}.")
    points = {run.evaluation.points for run in selection.plan.configurations if run.environment in environments}
    if len(points) > 1:
        marks.append(
            f"No aggregates: the environments have different numbers of evaluations ({', '.join(map(str, sorted(points)))})."
        )
    if not seeds or len(points) > 1:
        return Suite([], environments, [], {}, marks)
    curves = {name: _curves(selection, references, name, environments, seeds) for name in algorithms}
    return Suite(algorithms, environments, seeds, curves, marks)


def _curves(
    selection: Selection, references: Mapping[str, Reference], algorithm: str, environments: list[str], seeds: list[int]
) -> np.ndarray:
    """
    :return: Normalised scores, (n_seeds, n_environments, n_points)
    """
    scores = [
        references[environment].normalise(selection.mean_returns(environment, algorithm).loc[seeds].to_numpy())
        for environment in environments
    ]
    return np.stack(scores, axis=1)
