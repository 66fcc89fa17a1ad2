"""
Schedules: values that change with the progress of training.

Every schedule here is an SB3 ``Schedule``: a callable of ``progress_remaining``, which SB3 lets fall from 1 (start) to 0.
They serve learning rates, clip ranges and action noise alike. All are picklable (a saved model keeps its schedules), print
what they are and compare by value.

``progress_remaining`` is ``1 - num_timesteps / total_timesteps``. A new ``learn()`` starts it again at 1; with
``learn(more_steps, reset_num_timesteps=False)`` SB3 adds the new steps to the total, so the schedule goes on from the
fraction that is done by then (after 1000 of 1000 steps, 1000 more start at 0.5) and ends with the new total.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule

from sb3_dpg.common.checks import check_real


@dataclass(frozen=True)
class _Annealing(ABC):
    """
    A value that goes from ``start`` to ``end`` while the first ``end_fraction`` of training is done, and stays there.

    Both ends are met exactly, which SB3's own ``LinearSchedule`` misses by rounding (0.5 to 0.05 ends at
    0.04999999999999999), and ``progress_remaining`` outside [0, 1] is taken as the nearest end.

    :param start: Value at the start of training
    :param end: Value from ``end_fraction`` on
    :param end_fraction: Fraction of training at which ``end`` is reached, in (0, 1]
    :raises TypeError: if an argument is not a number
    :raises ValueError: if an argument is not finite or ``end_fraction`` is not in (0, 1]
    """

    start: float
    end: float
    end_fraction: float = 1.0

    def __post_init__(self) -> None:
        check_real("start", self.start, low_open=True, high_open=True)
        check_real("end", self.end, low_open=True, high_open=True)
        check_real("end_fraction", self.end_fraction, 0.0, 1.0, low_open=True)

    def __call__(self, progress_remaining: float) -> float:
        done = (1.0 - progress_remaining) / self.end_fraction
        # 1 - (1 - x) is not x in floating point: a schedule has ended when it is this close to its end
        return float(self.end if done >= 1.0 - 1e-12 else self._between(max(done, 0.0)))

    @abstractmethod
    def _between(self, done: float) -> float:
        """The value where the fraction ``done``, in [0, 1), of the schedule is done."""


class LinearAnnealing(_Annealing):
    """``(1 - x) start + x end``, where x is the fraction of the schedule that is done."""

    def _between(self, done: float) -> float:
        return (1.0 - done) * self.start + done * self.end


class ExponentialAnnealing(_Annealing):
    """
    ``start (end / start)^x``, where x is the fraction of the schedule that is done: the same factor in every step.

    :raises ValueError: also if ``start`` and ``end`` are not both positive
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start <= 0 or self.end <= 0:
            raise ValueError(
                f"an exponential schedule never reaches or crosses 0: start={self.start!r} and end={self.end!r} must both be "
                "positive, as in ExponentialAnnealing(0.5, 0.05)"
            )

    def _between(self, done: float) -> float:
        return self.start * (self.end / self.start) ** done


class CosineAnnealing(_Annealing):
    """``end + (start - end) (1 + cos(pi x)) / 2``, where x is the fraction of the schedule that is done: flat at both ends."""

    def _between(self, done: float) -> float:
        # (1 - cos(pi x)) / 2, written so that it is exact at 0 and 1/2
        weight = 0.5 * (1.0 + math.sin(math.pi * (done - 0.5)))
        return (1.0 - weight) * self.start + weight * self.end


_ANNEALING: dict[str, type[_Annealing]] = {"lin": LinearAnnealing, "exp": ExponentialAnnealing, "cos": CosineAnnealing}
#: How many numbers follow a kind of schedule
_COUNTS = {"const": (1, 1), "lin": (1, 3), "cos": (1, 3), "exp": (2, 3)}
_VALID = (
    "valid are 'lin_0.5_0.05' (linear from 0.5 to 0.05), 'exp_0.5_0.05' (exponential), 'cos_0.5_0.05' (cosine), "
    "'lin_0.5_0.05_0.8' (reached after the fraction 0.8 of training), 'lin_0.5' (linear to 0), 'const_0.1' and plain numbers"
)


def parse_schedule(value: str | float | Schedule, name: str | None = None) -> Schedule:
    """
    Make a schedule from what a YAML file can hold.

    ``"lin_0.5_0.05"``, ``"exp_0.5_0.05"`` and ``"cos_0.5_0.05"`` go from the first number to the second; an optional third
    number is the end fraction. With one number ``lin_`` and ``cos_`` go to 0, as SB3's zoo has it. ``"const_0.1"``, numbers,
    and strings of numbers (YAML reads ``1e-3`` as a string) are constants; schedules are returned as they are.

    :param value: A string, a number or a schedule
    :param name: Name of the parameter, for the error; None for none
    :return: A schedule of the progress remaining
    :raises TypeError: if the value is neither of these
    :raises ValueError: if the string is not a schedule; the message shows valid ones
    """
    if callable(value):
        return value
    prefix = "" if name is None else f"{name}: "
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{prefix}a schedule must be a string, a number or callable, not {value!r}: {_VALID}")
        check_real(name or "value", value, low_open=True, high_open=True)
        return ConstantSchedule(float(value))
    try:
        return _parse_text(value.strip())
    except ValueError as error:
        raise ValueError(f"{prefix}schedule {value!r} is not valid ({error}): {_VALID}") from error


def _parse_text(text: str) -> Schedule:
    kind, *arguments = text.split("_")
    if not arguments and kind not in _COUNTS:
        return parse_schedule(float(text))
    if kind not in _COUNTS:
        raise ValueError(f"{kind!r} is no kind of schedule")
    fewest, most = _COUNTS[kind]
    if not fewest <= len(arguments) <= most:
        count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise ValueError(f"{kind!r} takes {count} number(s), not {len(arguments)}")
    numbers = [float(argument) for argument in arguments]
    if kind == "const":
        return parse_schedule(numbers[0])
    return _ANNEALING[kind](*(numbers if len(numbers) > 1 else [*numbers, 0.0]))


def parse_learning_rate(name: str, value: float | str | Schedule) -> Schedule:
    """
    Make the schedule of a learning rate.

    :param name: Name of the parameter, for the error
    :param value: A number, a schedule or a string such as ``"lin_1e-3_1e-4"``, see :func:`parse_schedule`
    :return: A schedule of the progress remaining
    :raises TypeError: if the value is none of these
    :raises ValueError: if the string is not a schedule, or an end of the schedule is negative or not finite
    """
    schedule = parse_schedule(value, name)
    for progress_remaining in (1.0, 0.0):
        rate = schedule_value(f"{name}={value!r}", schedule, progress_remaining)
        check_real(name, rate, 0.0, high_open=True)
    return schedule


def schedule_value(name: str, schedule: Schedule, progress_remaining: float) -> float:
    """
    :param name: Name of the parameter, for the error
    :param schedule: Its schedule, which may be anybody's function
    :param progress_remaining: Progress remaining, from 1 to 0
    :return: Its value then; SB3's schedules may give NumPy's numbers or tensors
    :raises TypeError: if it takes no progress, or gives no number
    """
    try:
        return float(schedule(progress_remaining))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a function of the progress remaining that gives a number: {error}") from error
