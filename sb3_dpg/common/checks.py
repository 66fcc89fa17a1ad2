"""Checks of constructor arguments: each error names the parameter, the value it got and what is allowed."""

import math
from numbers import Integral, Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv


def check_real(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """
    Refuse anything but a number of an interval.

    :param name: Name of the parameter, for the error
    :param value: Value of the parameter
    :param low: Lower end of the interval
    :param high: Upper end of the interval
    :param low_open: Whether the lower end itself is refused
    :param high_open: Whether the upper end itself is refused
    :raises TypeError: if the value is not a real number
    :raises ValueError: if the value lies outside the interval
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r} of type {type(value).__name__}")
    number = float(value)
    above = number > low if low_open else number >= low
    below = number < high if high_open else number <= high
    if not (above and below):
        interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open or math.isinf(high) else ']'}"
        raise ValueError(f"{name}={value!r} is out of range: it must lie in {interval}")


def check_integer(name: str, value: Any, low: int) -> None:
    """
    Refuse anything but an integer of at least ``low``.

    :param name: Name of the parameter, for the error
    :param value: Value of the parameter
    :param low: Smallest value that is allowed
    :raises TypeError: if the value is not an integer
    :raises ValueError: if the value is smaller than ``low``
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, not {value!r} of type {type(value).__name__}")
    if value < low:
        raise ValueError(f"{name}={value!r} is too small: it must be at least {low}")


def check_rate(name: str, value: Any) -> None:
    """
    Refuse anything but a step size: a finite number that is not negative, or a schedule.

    :param name: Name of the parameter, for the error
    :param value: Value of the parameter
    :raises TypeError: if the value is neither a number nor callable
    :raises ValueError: if the value is negative or not finite
    """
    if not callable(value):
        if isinstance(value, str):
            raise TypeError(
                f"{name} must be a number or a schedule, not {value!r}: see sb3_dpg.common.schedules.parse_schedule"
            )
        check_real(name, value, 0.0, math.inf, high_open=True)


def check_type(name: str, value: Any, *types: type) -> None:
    """
    Refuse anything but objects of some types.

    :param name: Name of the parameter, for the error
    :param value: Value of the parameter
    :param types: The types that are allowed
    :raises TypeError: if the value has none of them
    """
    if not isinstance(value, types):
        allowed = " or ".join("None" if kind is type(None) else kind.__name__ for kind in types)
        raise TypeError(f"{name} must be {allowed}, not {value!r} of type {type(value).__name__}")


def check_policy_class(policy_class: type, base: type, algorithm: str) -> None:
    """
    Refuse the policy of another algorithm.

    :param policy_class: The class of the policy
    :param base: What it must be a subclass of
    :param algorithm: Name of the algorithm, for the error
    :raises TypeError: if it is not
    """
    if not issubclass(policy_class, base):
        raise TypeError(
            f"policy={policy_class.__name__} is not for {algorithm}: it must be a subclass of {base.__name__} (a loaded file "
            "must be one that this algorithm has saved)"
        )


def check_action_space(env: gym.Env | VecEnv, algorithm: str) -> None:
    """
    Refuse an environment whose actions are not a bounded box.

    :param env: The environment
    :param algorithm: Name of the algorithm, for the error
    :raises ValueError: if the action space is not a ``Box`` or if one of its bounds is infinite
    """
    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise ValueError(
            f"action_space={space} of the environment is not supported: {algorithm} learns a deterministic policy "
            "over continuous actions and needs a gymnasium.spaces.Box"
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(
            f"action_space={space} of the environment has infinite bounds: {algorithm} scales actions to [-1, 1] and needs "
            "finite ones, for instance by gymnasium.wrappers.RescaleAction"
        )
    with np.errstate(over="ignore"):
        span = space.high - space.low
    unusable = np.argwhere(~((span > 0) & np.isfinite(span))).tolist()
    if unusable:
        raise ValueError(
            f"action_space={space} of the environment cannot be scaled to [-1, 1] in dimension(s) {unusable}: there high "
            "- low is 0 or overflows; leave out what is constant, or use gymnasium.wrappers.RescaleAction"
        )
