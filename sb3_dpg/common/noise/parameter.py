"""A parameter of a noise process: one number per action dimension, constant or scheduled."""

import copy
from collections.abc import Sequence
from typing import Any, TypeAlias, Union

import numpy as np
from stable_baselines3.common.type_aliases import Schedule

from sb3_dpg.common.schedules import parse_schedule, schedule_value

Entry: TypeAlias = float | str | Schedule
ParameterLike: TypeAlias = Union[Entry, Sequence[Entry], np.ndarray, "NoiseParameter"]

# Progress at which a schedule is tried when the noise is built: a bad value shall not surface hours later
_TRIALS = np.linspace(1.0, 0.0, 101)


def is_sequence(value: ParameterLike) -> bool:
    """Whether the value is a sequence, with an entry per action dimension."""
    # NumPy makes no array of a list whose entries are of several shapes, not even to count its axes
    return isinstance(value, list | tuple) or (not isinstance(value, str) and np.ndim(value) > 0)  # type: ignore[arg-type]


class NoiseParameter:
    """
    A parameter of a noise process as a function of the progress remaining.

    :param name: Name of the parameter, for errors
    :param value: A number, a schedule, a schedule string (see :func:`~sb3_dpg.common.schedules.parse_schedule`), or a
        sequence with one of these per action dimension
    :param action_dim: Number of action dimensions
    :param positive: Whether 0 is refused too; negative values always are
    :param high: The largest value that is allowed
    :raises TypeError: if the value is none of these
    :raises ValueError: if a sequence has not one entry per action dimension, or a value is out of range
    """

    # Noise that was saved earlier may be without
    high = np.inf

    def __init__(
        self, name: str, value: ParameterLike, action_dim: int, *, positive: bool = False, high: float = np.inf
    ) -> None:
        self.name = name
        self.action_dim = action_dim
        self.positive = positive
        self.high = high
        self.factor: float | np.ndarray = 1.0
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        entries: list[Any] = list(value) if is_sequence(value) else [value]  # type: ignore[arg-type]
        if is_sequence(value) and (len(entries) != action_dim or any(is_sequence(entry) for entry in entries)):
            raise ValueError(
                f"{name}={value!r} has the wrong length for {action_dim} action dimension(s): give one number for all of "
                f"them, such as 0.2, or one per action dimension, such as {[0.2] * action_dim}"
            )
        self.constant = not any(callable(entry) or isinstance(entry, str) for entry in entries)
        self.schedules = [parse_schedule(entry, name) for entry in entries]
        for progress in _TRIALS[: 1 if self.constant else None]:
            self(progress)

    @classmethod
    def of(cls, name: str, value: ParameterLike, action_dim: int, *, positive: bool = False) -> "NoiseParameter":
        """As the constructor; a parameter that is given is returned as it is."""
        return value if isinstance(value, NoiseParameter) else cls(name, value, action_dim, positive=positive)

    def times(self, factor: float | np.ndarray) -> "NoiseParameter":
        """This parameter times a positive factor, one for all action dimensions or of shape (action_dim,)."""
        product = copy.copy(self)
        product.factor = self.factor * factor
        return product

    def __call__(self, progress_remaining: float) -> np.ndarray:
        """The values of shape (action_dim,); refuses what is not finite or out of range."""
        # SB3 trains up to the end of the rollout that reaches the total number of steps: a little beyond it
        progress_remaining = max(progress_remaining, 0.0)
        values = np.array([schedule_value(self.name, schedule, progress_remaining) for schedule in self.schedules])
        in_range = (values > 0 if self.positive else values >= 0) & (values <= self.high)
        if not (in_range & np.isfinite(values)).all():
            when = "" if self.constant else f" at progress_remaining={progress_remaining:g}"
            raise ValueError(
                f"{self.name}={values.tolist()}{when} is out of range: every entry must be finite and "
                + ("greater than 0, such as 0.15" if self.positive else "at least 0, such as 0.2")
                + ("" if self.high == np.inf else f", and at most {self.high:g}")
            )
        return np.broadcast_to(values, (self.action_dim,)) * self.factor
