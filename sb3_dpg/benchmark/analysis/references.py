"""Normalised scores: 0 is a random agent, 1 the agent of a source."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np
import yaml

Returns = TypeVar("Returns", float, np.ndarray)

REFERENCE_FILE = "reference_scores.yml"


@dataclass(frozen=True)
class Reference:
    """
    The scale of one environment.

    :param random: Mean return of uniformly random actions
    :param random_source: How that was measured
    :param reference: Return that counts as 1
    :param reference_source: Whose return that is
    """

    random: float
    random_source: str
    reference: float
    reference_source: str

    def normalise(self, returns: Returns) -> Returns:
        """
        :param returns: Returns, of any shape
        :return: Normalised scores
        """
        return (returns - self.random) / (self.reference - self.random)


def load_references() -> dict[str, Reference]:
    """
    :return: The scale of each environment that has one
    """
    path = Path(str(resources.files("sb3_dpg.benchmark"))) / REFERENCE_FILE
    return {name: Reference(**entry) for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items()}
