"""Noise from a specification that a YAML file can hold."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.noise import ActionNoise

from sb3_dpg.common.errors import unknown_name
from sb3_dpg.common.noise.base import ScheduledNoise
from sb3_dpg.common.noise.held import HeldNoise, SummedNoise
from sb3_dpg.common.noise.parameter import NoiseParameter
from sb3_dpg.common.noise.processes import GaussianNoise, OrnsteinUhlenbeckNoise, theta_from_lambda
from sb3_dpg.common.noise.scaled import ScaledNoise

_EXAMPLE = "{type: ornstein-uhlenbeck, sigma: lin_0.5_0.05, theta: 0.15, dt: 1.0}"


def make_noise(spec: Mapping[str, Any] | ActionNoise | None, action_shape: int | tuple[int, ...]) -> ActionNoise | None:
    """
    Make action noise from its specification.

    - ``{type: normal, sigma: lin_0.5_0.05}`` (or ``gaussian``): :class:`GaussianNoise`;
    - ``{type: ornstein-uhlenbeck, sigma: 0.2, theta: 0.15, dt: 1.0, initial: stationary}``: :class:`OrnsteinUhlenbeckNoise`,
      or by its stationary standard deviation, with ``std`` in place of ``sigma``;
    - ``{type: autoregressive, lambda: 0.95, std: 1.0}``: :meth:`OrnsteinUhlenbeckNoise.from_stationary`, or
      :meth:`OrnsteinUhlenbeckNoise.from_autoregressive` with ``sigma`` in place of ``std``;
    - ``{type: pink.PinkActionNoise, sigma: 0.3, seq_len: 1000, scale: lin_1_0.1}``: any SB3 ``ActionNoise`` by its full name,
      with its arguments (``action_dim`` is filled in if it takes one), inside a :class:`ScaledNoise`.

    All take ``n_envs`` (1), and all but the last ``mean`` (0) and ``seed`` (None); see the classes for what values may be.
    Each may have ``hold: {probability: lin_0.02_0_0.5}``, arguments of a :class:`HeldNoise` that is added to it.

    :param spec: A specification; noise and None are returned as they are
    :param action_shape: Shape of an action, or the number of its dimensions
    :return: The noise
    :raises TypeError: if the specification is not a mapping, or an argument has the wrong type
    :raises ValueError: if the type is not known, or an argument is not known, missing or out of range
    """
    if spec is None or isinstance(spec, ActionNoise):
        return spec
    if not isinstance(spec, Mapping):
        raise TypeError(f"noise must be an SB3 ActionNoise, None or a specification such as {_EXAMPLE}, not {spec!r}")
    noise, hold = _noise_of_type(dict(spec), action_shape), spec.get("hold")
    return noise if hold is None else _with_held_offsets(noise, hold, action_shape, spec.get("seed"))


def _noise_of_type(spec: dict[str, Any], action_shape: int | tuple[int, ...]) -> ScheduledNoise:
    """The noise of a specification, without the offsets that are held."""
    arguments = {key: value for key, value in spec.items() if key not in ("type", "hold")}
    name, action_dim = spec.get("type"), int(np.prod(action_shape))
    if isinstance(name, str) and "." in name:
        return _foreign_noise(name, arguments, action_dim)
    if not isinstance(name, str) or name not in _TYPES:
        raise ValueError(
            f"type={name!r} in the noise specification {spec} is not known: it must be one of {sorted(_TYPES)} "
            f"or the full name of an ActionNoise class, as in {_EXAMPLE}"
        )
    noise_type = _TYPES[name]
    _check_names(spec, arguments, noise_type)
    mean = arguments.get("mean", 0.0)
    if np.size(mean) not in (1, action_dim):
        raise ValueError(f"mean={mean!r} has the wrong length for {action_dim} action dimension(s)")
    arguments["mean"] = np.broadcast_to(np.ravel(mean), (action_dim,)).reshape(action_shape)
    return noise_type.make(**arguments)


def _with_held_offsets(noise: ScheduledNoise, hold: Any, action_shape: int | tuple[int, ...], seed: int | None) -> SummedNoise:
    """The noise, and offsets that are held beside it."""
    known = {"probability", "size", "longest"}
    if not isinstance(hold, Mapping) or "probability" not in hold or not set(hold) <= known:
        raise ValueError(
            f"hold={hold!r} in the noise specification is not valid: it needs probability and may have size and longest, as "
            "in {type: normal, sigma: 0.1, hold: {probability: lin_0.02_0_0.5}}"
        )
    summed = SummedNoise([noise, HeldNoise(action_shape, **hold)], noise.n_envs)
    if seed is not None:
        summed.seed(seed)
    return summed


def _gaussian(**arguments: Any) -> GaussianNoise:
    # The same here, but in errors
    if "std" in arguments:
        arguments["sigma"] = NoiseParameter("std", arguments.pop("std"), np.size(arguments["mean"]))
    return GaussianNoise(**arguments)


def _ornstein_uhlenbeck(**arguments: Any) -> OrnsteinUhlenbeckNoise:
    return OrnsteinUhlenbeckNoise.from_stationary(**arguments) if "std" in arguments else OrnsteinUhlenbeckNoise(**arguments)


def _autoregressive(**arguments: Any) -> OrnsteinUhlenbeckNoise:
    lambda_, n_actions = arguments.pop("lambda"), np.size(arguments["mean"])
    if isinstance(lambda_, list | tuple) and len(lambda_) != n_actions:
        # Further on it would be an error about theta
        raise ValueError(f"lambda={lambda_!r} has the wrong length for {n_actions} action dimension(s)")
    if "std" in arguments:
        return OrnsteinUhlenbeckNoise.from_stationary(theta=theta_from_lambda(lambda_), **arguments)
    return OrnsteinUhlenbeckNoise.from_autoregressive(lambda_, **arguments)


class _NoiseType(NamedTuple):
    """
    A type that a specification may name.

    :param make: What makes the noise from the arguments
    :param required: Arguments it needs besides one of ``sigma`` and ``std``
    :param optional: Arguments it takes besides those of every type
    :param example: A valid specification, for errors
    """

    make: Callable[..., ScheduledNoise]
    required: frozenset[str]
    optional: frozenset[str]
    example: str


_NORMAL = _NoiseType(_gaussian, frozenset(), frozenset(), "{type: normal, sigma: lin_0.5_0.05}")
_TYPES = {
    "normal": _NORMAL,
    "gaussian": _NORMAL,
    "ornstein-uhlenbeck": _NoiseType(_ornstein_uhlenbeck, frozenset(), frozenset({"theta", "dt", "initial"}), _EXAMPLE),
    "autoregressive": _NoiseType(
        _autoregressive, frozenset({"lambda"}), frozenset({"initial"}), "{type: autoregressive, lambda: 0.95, std: 1.0}"
    ),
}


def _check_names(spec: dict[str, Any], arguments: dict[str, Any], noise_type: _NoiseType) -> None:
    """Refuse a specification where an argument is missing or not known."""
    required = noise_type.required
    known = {"type", "hold", "sigma", "std", "mean", "n_envs", "seed"} | required | noise_type.optional
    problem = next((unknown_name(name, sorted(known)) for name in spec if name not in known), None)
    if problem is None and (required - set(arguments) or ("sigma" in arguments) == ("std" in arguments)):
        problem = f"it needs {', '.join([*sorted(required), 'exactly one of sigma and std'])}"
    if problem is not None:
        raise ValueError(f"the noise specification {spec} is not valid: {problem}, as in {noise_type.example}")


def _foreign_noise(name: str, arguments: dict[str, Any], action_dim: int) -> ScaledNoise:
    """Noise of a class by its full name, one independent object per environment."""
    module_name, _, class_name = name.rpartition(".")
    try:
        noise_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"type={name!r} of the noise specification cannot be imported: {error}") from error
    if not (isinstance(noise_class, type) and issubclass(noise_class, ActionNoise)):
        raise ValueError(f"type={name!r} of the noise specification is not an SB3 ActionNoise class")
    if issubclass(noise_class, ScheduledNoise):
        raise ValueError(f"type={name!r} of the noise specification is of this package: use one of {sorted(_TYPES)}")
    given = dict(arguments)
    scale, n_envs = arguments.pop("scale", 1.0), arguments.pop("n_envs", 1)
    signature = inspect.signature(noise_class)
    if "action_dim" in signature.parameters:
        arguments.setdefault("action_dim", action_dim)
    # SB3's own classes want arrays, which YAML does not have
    arguments = {key: np.asarray(value, dtype=float) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        signature.bind_partial(**arguments)
        return ScaledNoise(partial(noise_class, **arguments), scale, n_envs)
    # Whatever the class raises
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"the arguments {given} of the noise type={name!r} cannot be used: {error}") from error
