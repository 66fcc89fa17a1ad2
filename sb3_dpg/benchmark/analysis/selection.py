"""From the table of results to what is compared with what: a comparison needs the same seeds, steps and evaluations."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from sb3_dpg.benchmark.configuration import Configuration, Plan, Run
from sb3_dpg.common.errors import ConfigurationError


@dataclass(frozen=True)
class Selection:
    """
    The complete runs of a plan.

    :param plan: The plan
    :param runs: Evaluations of each complete run, by environment, algorithm (the plan's name for it) and seed;
        in the order of the plan
    :param caveats: What a reader must know about them before comparing
    """

    plan: Plan
    runs: Mapping[str, Mapping[str, Mapping[int, pd.DataFrame]]]
    caveats: list[str] = field(default_factory=list)

    def mean_returns(self, environment: str, algorithm: str) -> pd.DataFrame:
        """Mean return of each evaluation: a row for each seed, a column for each step."""
        runs = self.runs[environment][algorithm]
        return pd.DataFrame({seed: run["mean_return"] for seed, run in runs.items()}).T


def select(plan: Plan, evaluations: pd.DataFrame) -> Selection:
    """The complete runs of the plan in a table of results; refuses to compare what is not comparable."""
    check_comparable(plan.configurations)
    by_id = {str(run_id): run.set_index("step").sort_index() for run_id, run in evaluations.groupby("run_id")}
    runs: dict[str, dict[str, dict[int, pd.DataFrame]]] = {environment.id: {} for environment in plan.environments}
    for configuration in plan.configurations:
        found = {
            seed: by_id[Run(configuration, seed).id]
            for seed in plan.seeds_of(configuration.algorithm)
            if Run(configuration, seed).id in by_id
        }
        for seed, run in found.items():
            Run(configuration, seed).check_complete(list(run.index), run["returns"])
        if found:
            runs[configuration.environment][configuration.algorithm] = found
    wanted = {run.id for run in plan.runs}
    used = evaluations[evaluations["run_id"].isin(wanted)]
    return Selection(plan, runs, [*_missing_runs(plan, runs), *_mixed_provenance(used), *_unused(evaluations, used)])


def check_comparable(configurations: Iterable[Configuration]) -> None:
    """Refuse other steps or another evaluation on one environment, and a name that means two things."""
    first: dict[str, Configuration] = {}
    named: dict[tuple[str, str], Configuration] = {}
    for configuration in configurations:
        other = first.setdefault(configuration.environment, configuration)
        where = f"{configuration.environment}: {other.algorithm!r} and {configuration.algorithm!r} cannot be compared"
        if configuration.steps != other.steps:
            raise ConfigurationError(f"{where}: {other.steps} and {configuration.steps} steps of training")
        if configuration.evaluation != other.evaluation:
            raise ConfigurationError(f"{where}: {other.evaluation} and {configuration.evaluation}")
        same_name = named.setdefault((configuration.environment, configuration.algorithm), configuration)
        if same_name is not configuration:
            raise ConfigurationError(f"{configuration.environment}: the name {configuration.algorithm!r} means two things")


def _missing_runs(plan: Plan, runs: Mapping[str, Mapping[str, Mapping[int, pd.DataFrame]]]) -> list[str]:
    environments: dict[tuple[str, str], list[str]] = {}
    for configuration in plan.configurations:
        found = runs[configuration.environment].get(configuration.algorithm, {})
        missing = ", ".join(str(seed) for seed in plan.seeds_of(configuration.algorithm) if seed not in found)
        if missing:
            environments.setdefault((configuration.algorithm, missing), []).append(configuration.environment)
    in_plan = Counter(configuration.algorithm for configuration in plan.configurations)
    return [
        f"{algorithm}: no result for seed {missing} on "
        f"{'any of its environments' if len(names) == in_plan[algorithm] > 1 else ', '.join(names)}."
        for (algorithm, missing), names in environments.items()
    ]


def _mixed_provenance(used: pd.DataFrame) -> list[str]:
    names = {"versions": "versions", "git_commit": "commits of this repository", "machine": "machines"}
    caveats = []
    for column, name in names.items():
        owners = {value: ", ".join(dict.fromkeys(runs["algorithm"])) for value, runs in used.groupby(used[column].astype(str))}
        if len(owners) > 1:
            listed = " | ".join(f"{value} ({algorithms})" for value, algorithms in owners.items())
            caveats.append(f"The runs come from {len(owners)} different {name}: {listed}.")
    if any(str(commit).endswith("+") for commit in used["git_commit"]):
        caveats.append('A "+" behind a commit: there were changes that were not committed.')
    return caveats


def _unused(evaluations: pd.DataFrame, used: pd.DataFrame) -> list[str]:
    count = evaluations["run_id"].nunique() - used["run_id"].nunique()
    return [f"{count} run(s) in the results are not of this plan (an earlier version of it?) and left out."] if count else []
