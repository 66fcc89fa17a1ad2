"""What is run: a plan, its configurations of algorithms on environments, and their runs, one for each seed."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sb3_dpg.common.errors import ConfigurationError


@dataclass(frozen=True)
class EvaluationProtocol:
    """
    How agents are evaluated. Figures of different protocols are not comparable.

    :param points: Number of evaluations, at equal distances; the last one at the end of the training
    :param episodes: Episodes in each evaluation
    :param deterministic: Whether actions are deterministic
    """

    points: int
    episodes: int
    deterministic: bool = True

    def steps(self, total: int) -> list[int]:
        """After how many steps of a training of ``total`` steps the agent is evaluated."""
        return [total * point // self.points for point in range(1, self.points + 1)]


@dataclass(frozen=True)
class Environment:
    """
    An environment of a plan.

    :param id: Its id
    :param steps: Environment steps of training
    :param threshold: Return that counts as solved, for the time to solve; None for none
    :param package: Module that registers it when it is imported; None for one that Gymnasium knows
    """

    id: str
    steps: int
    threshold: float | None
    package: str | None = None


@dataclass(frozen=True)
class Configuration:
    """
    One cell of a plan: an algorithm with all its hyperparameters, on an environment.

    :param algorithm: The plan's name for it, which tables and figures show
    :param algo: rl-zoo3's name of the algorithm
    :param environment: Id of the environment
    :param steps: Environment steps of training
    :param evaluation: How it is evaluated
    :param hyperparameters: As in a hyperparameter file, complete
    :param package: Module that registers the environment when it is imported; None for one that Gymnasium knows
    :param algorithm_package: Module that adds the algorithm to rl-zoo3's when it is imported; None for one that is there
    """

    algorithm: str
    algo: str
    environment: str
    steps: int
    evaluation: EvaluationProtocol
    hyperparameters: Mapping[str, Any]
    package: str | None = None
    algorithm_package: str | None = None

    @property
    def key(self) -> str:
        """Identity: a hash of what the plan says, of which the algorithm's name in the plan does not."""
        content = {name: value for name, value in as_table(self).items() if name != "algorithm"}
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Run:
    """
    One training.

    :param configuration: What is trained
    :param seed: Seed of the environment, the agent and, with the number of the evaluation, of the evaluation environment
    """

    configuration: Configuration
    seed: int

    @property
    def id(self) -> str:
        """Identity: of two runs with the same id only one is ever counted."""
        return f"{self.configuration.key}-{self.seed}"

    def __str__(self) -> str:
        return f"{self.configuration.algorithm} on {self.configuration.environment}, seed {self.seed}"

    def check_complete(self, steps: Sequence[int], returns: Iterable[Sequence[float]]) -> None:
        """Refuse steps and returns of episodes that are not the evaluations of its configuration."""
        total, evaluation = self.configuration.steps, self.configuration.evaluation
        if steps != evaluation.steps(total) or any(len(episodes) != evaluation.episodes for episodes in returns):
            raise ConfigurationError(
                f"the results of {self} do not fit {evaluation} over {total} steps: delete the lines of evaluations.csv that "
                f"begin with {self.id}, and the run is repeated"
            )


@dataclass(frozen=True)
class Plan:
    """
    What is to be run.

    :param name: Short name, for folders
    :param description: What it is to show, for the report
    :param environments: Where
    :param seeds: Which seeds each configuration is trained with
    :param configurations: What is trained
    :param fewer_seeds: By the names of algorithms: their own seeds, some of the plan's
    """

    name: str
    description: str
    environments: tuple[Environment, ...]
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    fewer_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def algorithms(self) -> list[str]:
        """Names of the algorithms, in the order of the plan."""
        return list(dict.fromkeys(configuration.algorithm for configuration in self.configurations))

    def seeds_of(self, algorithm: str) -> tuple[int, ...]:
        """The seeds that an algorithm is trained with."""
        return self.fewer_seeds.get(algorithm, self.seeds)

    @property
    def runs(self) -> list[Run]:
        """All runs, algorithm by algorithm in the order of the plan; of each, one seed everywhere, then the next."""
        return [
            Run(configuration, seed)
            for algorithm in self.algorithms
            for seed in self.seeds_of(algorithm)
            for configuration in self.configurations
            if configuration.algorithm == algorithm
        ]


def as_table(item: Environment | Configuration) -> dict[str, Any]:
    """Its fields by name; without packages where there are none: what was run before there were any is the same."""
    return {name: value for name, value in asdict(item).items() if not (name.endswith("package") and value is None)}


def check_distinct(configurations: Iterable[Configuration]) -> tuple[Configuration, ...]:
    """Refuse configurations that are the same but for their names: one result would appear as two."""
    seen: dict[str, Configuration] = {}
    for configuration in configurations:
        if configuration.key in seen:
            names = f"{seen[configuration.key].algorithm!r} and {configuration.algorithm!r}"
            raise ConfigurationError(f"{names} are the same on {configuration.environment}")
        seen[configuration.key] = configuration
    return tuple(seen.values())
