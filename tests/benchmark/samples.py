"""Studies for the tests: plans and results that no training is needed for."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sb3_dpg.benchmark.configuration import Configuration, Environment, EvaluationProtocol, Plan, Run
from sb3_dpg.benchmark.engine import Ended, Started
from sb3_dpg.benchmark.results import Results

#: Columns that are not the same in two studies; somebody may commit between them
CIRCUMSTANCES = ["wall_time", "cpu_time", "evaluation_time", "steps_per_second", "git_commit"]

#: A plan of four runs that take seconds
TINY_PLAN = """
name: small
seeds: [0, 1]
evaluation: {points: 2, episodes: 1}
environments:
  Pendulum-v1: {steps: 200, threshold: -200}
algorithms:
  ddpg:
    file: none
    hyperparameters: &same {policy: MlpPolicy, policy_kwargs: {net_arch: [8]}, batch_size: 8, learning_starts: 100}
  td3: {file: none, hyperparameters: *same}
"""


def results_of(folder: Path) -> pd.DataFrame:
    """What a study has measured, apart from its circumstances."""
    return Results(folder).evaluations.drop(columns=CIRCUMSTANCES)


def make_plan(
    algorithms: Sequence[str] = ("bnddpg", "ddpg"),
    environments: Sequence[str] = ("Pendulum-v1", "Hopper-v5"),
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 100,
    points: int = 4,
    episodes: int = 2,
) -> Plan:
    protocol = EvaluationProtocol(points, episodes)
    return Plan(
        name="study",
        description="A study of the tests.",
        environments=tuple(Environment(name, steps, -200.0) for name in environments),
        seeds=tuple(seeds),
        configurations=tuple(
            Configuration(algorithm, "ddpg", environment, steps, protocol, {"policy": "MlpPolicy", "variant": algorithm})
            for algorithm in algorithms
            for environment in environments
        ),
    )


def make_records(run: Run) -> list[dict[str, Any]]:
    """Evaluations that depend on the run alone, except for the times."""
    configuration = run.configuration
    rng = np.random.default_rng([int(configuration.key, 16), run.seed])
    episodes = configuration.evaluation.episodes
    return [
        {
            "step": step,
            "returns": (rng.normal(-1000, 200, episodes) + 500 * (index + 1)).tolist(),
            "lengths": [200] * episodes,
            "wall_time": 0.5 * (index + 1),
            "cpu_time": 0.25 * (index + 1),
            "evaluation_time": 0.1,
            "steps_per_second": 123.456,
            "versions": "python 3",
            "git_commit": "123456789012",
            "machine": "Linux x86_64, here, 2 cores",
        }
        for index, step in enumerate(configuration.evaluation.steps(configuration.steps))
    ]


def write_results(folder: Path, plan: Plan, leave_out: Callable[[Run], bool] = lambda run: False) -> Results:
    results = Results(folder)
    results.write_plan(plan)
    for run in plan.runs:
        if not leave_out(run):
            results.add(run, make_records(run))
    return results


class FakeEngine:
    """
    :param outcome: From a run to how it ends; without it every run is completed
    """

    jobs = 1

    def __init__(self, outcome: Callable[[Run], Ended] | None = None) -> None:
        self.outcome = outcome or (lambda run: Ended(run, records=make_records(run)))
        self.executed: list[str] = []

    def execute(self, runs: Sequence[Run]) -> Iterator[Started | Ended]:
        for run in runs:
            yield Started(run)
            ended = self.outcome(run)
            self.executed.append(run.id)
            yield ended
