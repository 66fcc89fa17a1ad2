"""What is run: a configuration of an algorithm on an environment, and its runs, one for each seed."""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


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
        """
        :param total: Steps of the whole training
        :return: After how many steps of training the agent is evaluated
        """
        return [total * point // self.points for point in range(1, self.points + 1)]


def import_package(name: str | None) -> None:
    """
    :param name: Module that registers an environment, None for none
    :raises ModuleNotFoundError: if there is no such module
    """
    if name is not None:
        importlib.import_module(name)


def as_table(item: Any) -> dict[str, Any]:
    """
    :param item: An environment or a configuration
    :return: Its fields by name, without a package where there is none: it came later, and what was run before is the same
    """
    return {name: value for name, value in asdict(item).items() if not (name == "package" and value is None)}


@dataclass(frozen=True)
class Configuration:
    """
    One cell of a study: an algorithm with all its hyperparameters, on an environment.

    :param algorithm: The plan's name for it, which tables and figures show
    :param algo: rl-zoo3's name of the algorithm
    :param environment: Id of the environment
    :param steps: Environment steps of training
    :param evaluation: How it is evaluated
    :param hyperparameters: As in a hyperparameter file, complete
    :param package: Module that registers the environment when it is imported; None for one that Gymnasium knows
    """

    algorithm: str
    algo: str
    environment: str
    steps: int
    evaluation: EvaluationProtocol
    hyperparameters: Mapping[str, Any]
    package: str | None = None

    @property
    def key(self) -> str:
        """
        Identity: a hash of all that determines the result, which the algorithm's name in the plan does not.
        """
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
