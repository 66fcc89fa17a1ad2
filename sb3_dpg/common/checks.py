"""Checks of constructor arguments: each error names the parameter, the value it got and what is allowed."""

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from sb3_dpg.common.errors import unknown_name


def check_real(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Refuse anything but a number of an interval, without the ends that are open."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r} of type {type(value).__name__}")
    number = float(value)
    above = number > low if low_open else number >= low
    below = number < high if high_open else number <= high
    if not (above and below):
        interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open or math.isinf(high) else ']'}"
        raise ValueError(f"{name}={value!r} is out of range: it must lie in {interval}")


def check_integer(name: str, value: Any, low: int) -> None:
    """Refuse anything but an integer of at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, not {value!r} of type {type(value).__name__}")
    if value < low:
        raise ValueError(f"{name}={value!r} is too small: it must be at least {low}")


def check_type(name: str, value: Any, *types: type) -> None:
    """Refuse anything but objects of some types."""
    if not isinstance(value, types):
        allowed = " or ".join("None" if kind is type(None) else kind.__name__ for kind in types)
        raise TypeError(f"{name} must be {allowed}, not {value!r} of type {type(value).__name__}")


def check_policy_class(policy_class: type, base: type, algorithm: str) -> None:
    """Refuse the policy of another algorithm, whose name is for the error."""
    check_type("policy", policy_class, type)
    if not issubclass(policy_class, base):
        raise TypeError(
            f"policy={policy_class.__name__} is not for {algorithm}: it must be a subclass of {base.__name__} (a loaded file "
            "must be one that this algorithm has saved)"
        )


def check_policy_keywords(policy_class: type, policy_kwargs: Mapping[str, Any], of_algorithm: Sequence[str]) -> None:
    """Refuse arguments that the policy does not have, and those that the algorithm gives it itself."""
    for name in of_algorithm:
        if name in policy_kwargs:
            raise ValueError(f"policy_kwargs must not hold {name!r}: it is an argument of the algorithm itself")
    not_for_users = ("observation_space", "action_space", "lr_schedule", *of_algorithm)
    check_keywords("policy_kwargs", policy_kwargs, inspect.signature(policy_class).parameters, not_for_users)


def check_keywords(
    where: str, given: Iterable[str], parameters: Mapping[str, inspect.Parameter], not_for_users: Sequence[str] = ()
) -> None:
    """Refuse names that a signature does not have, unless it takes any; ``not_for_users`` are refused too."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name not in not_for_users]
    for name in given:
        if name not in known:
            raise TypeError(f"{where}: {unknown_name(name, known)}")


def check_action_space(env: gym.Env | VecEnv, algorithm: str) -> None:
    """Refuse an environment whose actions are not a bounded box of floats; the algorithm's name is for the error."""
    # Not its class: SB3 takes those of older versions of Gym, too
    if isinstance(env, type) or not hasattr(env, "action_space"):
        raise TypeError(f"env must be an environment or the id of one, not {env!r} of type {type(env).__name__}")
    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise ValueError(
            f"action_space={space} of the environment is not supported: {algorithm} learns a deterministic policy "
            "over continuous actions and needs a gymnasium.spaces.Box"
        )
    if not np.issubdtype(space.dtype, np.floating):
        raise ValueError(
            f"action_space={space} of the environment is of integers: {algorithm} scales actions to [-1, 1], and the replay "
            "buffer would round them to the space's dtype; declare a Box of floats, and round in the environment"
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(
            f"action_space={space} of the environment has infinite bounds: {algorithm} scales actions to [-1, 1] and needs "
            "finite ones: declare them in the environment (ClipAction, which makes bounds infinite, is not needed)"
        )
    with np.errstate(over="ignore"):
        span = space.high - space.low
    unusable = np.argwhere(~((span > 0) & np.isfinite(span))).tolist()
    if unusable:
        raise ValueError(
            f"action_space={space} of the environment cannot be scaled to [-1, 1] in dimension(s) {unusable}: there high "
            "- low is 0 or overflows; leave out what is constant, or use gymnasium.wrappers.RescaleAction"
        )


def check_normalization(normalization: VecNormalize | None, observation_space: spaces.Space) -> None:
    """
    Refuse a ``VecNormalize`` below a wrapper that changes the shape of observations: off-policy algorithms of SB3 normalise
    what they replay by its statistics, and these are of another shape.

    :param normalization: The environment's ``VecNormalize``, None for none
    :param observation_space: Observation space of the model
    :raises ValueError: if the shapes differ
    """
    if normalization is None:
        return
    normalized, given = _shape(normalization.observation_space), _shape(observation_space)
    if normalized != given:
        raise ValueError(
            f"VecNormalize normalises observations of the shape {normalized}, and the model gets {given}: put it outside of "
            "what changes the shape, as in VecNormalize(VecFrameStack(env)), and VecNormalize(VecTransposeImage(env)) for "
            "images. rl-zoo3 does not: give its entry either frame_stack or normalize, not both (or stack by an env_wrapper)"
        )


def _shape(space: spaces.Space) -> Any:
    return {key: part.shape for key, part in space.items()} if isinstance(space, spaces.Dict) else space.shape


SMALLEST = dict(buffer_size=1, learning_starts=0, batch_size=1, n_steps=1, gradient_steps=-1, stats_window_size=1, seed=0)
TYPES: dict[str, tuple[type, ...]] = dict(
    policy_kwargs=(dict,),
    replay_buffer_class=(type,),
    replay_buffer_kwargs=(dict,),
    tensorboard_log=(str, Path),
    optimize_memory_usage=(bool,),
    verbose=(int,),
)
#: None stands for "not given"
OPTIONAL = ("policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "seed", "tensorboard_log")


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
    if given.get("seed", 0) >= 2**32:
        raise ValueError(f"seed={given['seed']!r} is too large: it must be below 2 ** 32")
    if not issubclass(given.get("replay_buffer_class", ReplayBuffer), ReplayBuffer):
        raise TypeError(f"replay_buffer_class={given['replay_buffer_class']!r} must be a subclass of SB3's ReplayBuffer")
    check_policy_kwargs(given.get("policy_kwargs", {}))
    if "train_freq" in given:
        check_train_freq(given["train_freq"])
    if "tau" in given:
        check_real("tau", given["tau"], 0.0, 1.0, low_open=True)
    if "gamma" in given:
        check_real("gamma", given["gamma"], 0.0, 1.0)


def check_policy_kwargs(policy_kwargs: Mapping[str, Any]) -> None:
    """Check what SB3 and PyTorch would stumble over; the policies check the rest."""
    for name, value in policy_kwargs.items():
        if value is None:
            continue
        if name == "net_arch":
            check_net_arch(value)
        elif name.endswith("_kwargs"):
            check_type(name, value, dict)
        elif name == "normalize_images":
            check_type(name, value, bool)
        elif name.endswith("features_extractor_class"):
            if not (callable(value) or isinstance(value, str)):
                raise TypeError(f"{name} must be a class or a name, not {value!r} of type {type(value).__name__}")
            if isinstance(value, type) and not issubclass(value, BaseFeaturesExtractor):
                raise TypeError(f"{name}={value!r} must be a subclass of SB3's BaseFeaturesExtractor")
        # An activation is callable, too
        elif name in ("activation_fn", "optimizer_class") and (not callable(value) or isinstance(value, nn.Module)):
            raise TypeError(f"{name} must be a class, not {value!r} of type {type(value).__name__}")


def check_net_arch(value: Any) -> None:
    """Refuse anything but a list of positive integers, or a dictionary of two such lists, pi and qf."""
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
    """Refuse anything but a positive number of steps, or a pair of a positive number and its unit."""
    number, unit = value if isinstance(value, tuple) and len(value) == 2 else (value, "step")
    unit = getattr(unit, "value", unit)
    if unit not in ("step", "episode"):
        raise ValueError(f"train_freq={value!r} has an unknown unit: it must be 'step' or 'episode'")
    # SB3 takes no NumPy integers here
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"train_freq={value!r} must be an int or a pair like (2, 'episode')")
    if number < 1:
        raise ValueError(f"train_freq={value!r} is too small: it must be at least 1")
