"""Observations of several environments, one at a time and together again, whether arrays or dictionaries of arrays."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Observation: TypeAlias = np.ndarray | dict[str, np.ndarray]


def row(observations: Observation, index: int) -> Observation:
    """
    :param observations: Observations of several environments
    :param index: Index of an environment
    :return: A copy of its observation
    """
    if isinstance(observations, dict):
        return {key: value[index].copy() for key, value in observations.items()}
    return np.asarray(observations)[index].copy()


def stack(observations: Sequence[Observation]) -> Observation:
    """
    :param observations: Observations of one environment
    :return: The same as one batch
    """
    first = observations[0]
    if isinstance(first, dict):
        return {key: np.stack([observation[key] for observation in observations]) for key in first}
    return np.stack([np.asarray(observation) for observation in observations])
