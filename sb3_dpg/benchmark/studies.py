"""Reading studies that were run, one or several as one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from sb3_dpg.benchmark.plan import Plan, check_distinct
from sb3_dpg.benchmark.results import Results, join_tables, read_study
from sb3_dpg.common.errors import ConfigurationError

Item = TypeVar("Item")


class Study(NamedTuple):
    """
    :param plan: What was to be run
    :param evaluations: Table of results
    :param failures: Table of runs that failed
    :param marks: What a reader must know about them
    """

    plan: Plan
    evaluations: pd.DataFrame
    failures: pd.DataFrame
    marks: list[str]


def read_studies(folders: Sequence[Path]) -> Study:
    """
    :param folders: Results folders
    :return: Their studies as one; of a run that several of them have, that of the first counts
    :raises ConfigurationError: if one of them cannot be read, or they do not fit together
    """
    plan = _join([read_study(folder) for folder in folders])
    results = [Results(folder) for folder in folders]
    everything = join_tables([result.evaluations for result in results])
    evaluations = everything.drop_duplicates(["run_id", "step"])
    failures = join_tables([result.failures for result in results]).drop_duplicates("run_id")
    failures = failures[~failures["run_id"].isin(evaluations["run_id"])]
    return Study(plan, evaluations.reset_index(drop=True), failures.reset_index(drop=True), _contradictions(everything))


def _contradictions(evaluations: pd.DataFrame) -> list[str]:
    """
    :param evaluations: Of several folders, one after the other
    :return: A mark for the runs that do not have the same returns everywhere
    """
    returns = evaluations.groupby(["run_id", "step"])["mean_return"].nunique()
    count = returns[returns > 1].index.unique("run_id").size
    return [f"{count} run(s) have other returns in another of the folders; those of the first count."] if count else []


def _join(plans: Sequence[Plan]) -> Plan:
    environments = _distinct(environment for plan in plans for environment in plan.environments)
    for environment in environments:
        for other in environments:
            if other.id == environment.id and other != environment:
                raise ConfigurationError(f"the studies differ on {environment.id}: {environment} and {other}")
    return Plan(
        name=" and ".join(_distinct(plan.name for plan in plans)),
        description="\n\n".join(_distinct(plan.description for plan in plans)),
        environments=environments,
        seeds=_distinct(seed for plan in plans for seed in plan.seeds),
        configurations=check_distinct(
            {
                (configuration.algorithm, configuration.key): configuration
                for plan in plans
                for configuration in plan.configurations
            }.values()
        ),
    )


def _distinct(items: Iterable[Item]) -> tuple[Item, ...]:
    """
    :param items: Items
    :return: Each once, in the order of their first occurrence
    """
    return tuple(dict.fromkeys(items))
