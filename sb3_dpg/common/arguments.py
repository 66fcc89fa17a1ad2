"""Checks of the arguments that both algorithms hand on to SB3's ``OffPolicyAlgorithm``."""

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from sb3_dpg.common.checks import check_integer, check_real, check_type

SMALLEST = dict(buffer_size=1, learning_starts=0, batch_size=1, n_steps=1, gradient_steps=-1, stats_window_size=1, seed=0)
TYPES: dict[str, tuple[type, ...]] = dict(
    policy_kwargs=(dict,),
    replay_buffer_kwargs=(dict,),
    tensorboard_log=(str, Path),
    optimize_memory_usage=(bool,),
    verbose=(int,),
)
#: None stands for "not given"
OPTIONAL = ("policy_kwargs", "replay_buffer_kwargs", "seed", "tensorboard_log")


def check_common_arguments(arguments: Mapping[str, Any]) -> None:
    """
    :param arguments: Arguments of SB3's ``OffPolicyAlgorithm``, by name
    :raises TypeError: if one has the wrong type
    :raises ValueError: if one is out of its range
    """
    given = {name: value for name, value in arguments.items() if not (value is None and name in OPTIONAL)}
    for name, value in given.items():
        if name in SMALLEST:
            check_integer(name, value, SMALLEST[name])
        if name in TYPES:
            check_type(name, value, *TYPES[name])
    check_policy_kwargs(given.get("policy_kwargs", {}))
    if "train_freq" in given:
        check_train_freq(given["train_freq"])
    if "tau" in given:
        check_real("tau", given["tau"], 0.0, 1.0, low_open=True)
    if "gamma" in given:
        check_real("gamma", given["gamma"], 0.0, 1.0)


def check_policy_kwargs(policy_kwargs: Mapping[str, Any]) -> None:
    """
    Check what SB3 and PyTorch would stumble over; the policies check the rest.

    :param policy_kwargs: Arguments of the policy
    :raises TypeError: if one has the wrong type
    :raises ValueError: if one is out of its range
    """
    for name, value in policy_kwargs.items():
        if value is None:
            continue
        if name == "net_arch":
            check_net_arch(value)
        elif name.endswith("_kwargs"):
            check_type(name, value, dict)
        elif name.endswith("features_extractor_class") and not (callable(value) or isinstance(value, str)):
            raise TypeError(f"{name} must be a class or a name, not {value!r} of type {type(value).__name__}")
        elif name in ("activation_fn", "optimizer_class") and not callable(value):
            raise TypeError(f"{name} must be a class, not {value!r} of type {type(value).__name__}")


def check_net_arch(value: Any) -> None:
    """
    :param value: The value of ``net_arch``
    :raises TypeError: if it is neither a list of integers nor a dictionary of two such lists
    :raises ValueError: if a size is not positive, or the dictionary has not the keys pi and qf
    """
    if isinstance(value, dict):
        if set(value) != {"pi", "qf"}:
            raise ValueError(f"net_arch={value!r} must have the keys 'pi' and 'qf'")
        lists = list(value.values())
    else:
        lists = [value]
    # SB3 takes tuples in the dictionary only
    allowed = (list, tuple) if isinstance(value, dict) else list
    for sizes in lists:
        if not isinstance(sizes, allowed):
            raise TypeError(f"net_arch={value!r} must be a list of integers, or dict(pi=[...], qf=[...])")
        for size in sizes:
            check_integer("net_arch", size, 1)


def check_train_freq(value: Any) -> None:
    """
    Refuse anything but a positive number of steps, or a pair of a positive number and its unit.

    :param value: The value of ``train_freq``
    :raises TypeError: if it is neither an integer nor a pair
    :raises ValueError: if the number is not positive or the unit unknown
    """
    number, unit = value if isinstance(value, tuple) and len(value) == 2 else (value, "step")
    unit = getattr(unit, "value", unit)
    if unit not in ("step", "episode"):
        raise ValueError(f"train_freq={value!r} has an unknown unit: it must be 'step' or 'episode'")
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise TypeError(f"train_freq={value!r} must be an integer or a pair like (2, 'episode')")
    if number < 1:
        raise ValueError(f"train_freq={value!r} is too small: it must be at least 1")
