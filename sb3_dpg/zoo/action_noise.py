"""
The two forms of action noise in hyperparameter files: the keys ``noise_type``, ``noise_std``, ``noise_theta`` and
``noise_dt``, and a specification, ``action_noise``.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from sb3_dpg.common.errors import ConfigurationError, did_you_mean
from sb3_dpg.common.noise import make_noise
from sb3_dpg.zoo.hyperparameters import NOISE_KEYS

NOISE_TYPES = ("normal", "ornstein-uhlenbeck")
#: The keys by their names in a noise specification
_SPECIFICATION_NAMES = {"noise_type": "type", "noise_std": "sigma", "noise_theta": "theta", "noise_dt": "dt"}


def take_noise_keys(hyperparams: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    :param hyperparams: Hyperparameters; the noise keys are removed from them
    :return: The noise keys and their values
    """
    return {key: hyperparams.pop(key) for key in NOISE_KEYS if key in hyperparams}


def noise_specification(keys: Mapping[str, Any]) -> dict[str, Any] | None:
    """
    :param keys: The noise keys of an entry, for instance ``{"noise_type": "normal", "noise_std": "lin_0.5_0.1"}``
    :return: The specification that ``make_noise`` takes, None for no noise
    """
    if keys.get("noise_type") is None:
        return None
    values = {key: value.strip() if isinstance(value, str) else value for key, value in keys.items()}
    return {_SPECIFICATION_NAMES[key]: value for key, value in values.items() if value is not None}


def is_zoo_noise(keys: Mapping[str, Any]) -> bool:
    """
    :param keys: The noise keys of an entry
    :return: Whether rl-zoo3 itself understands them: a type and one plain number
    """
    std = keys.get("noise_std")
    is_number = isinstance(std, int | float) and not isinstance(std, bool)
    return is_number and keys.get("noise_theta") is None and keys.get("noise_dt") is None


def used_keys(keys: Mapping[str, Any]) -> str:
    """
    :param keys: The noise keys of an entry, None for those that it has not
    :return: Those that it has, for an error: the noise's own names for them are others
    """
    return ", ".join(key for key, value in keys.items() if value is not None)


def superseded_noise_keys(given: Iterable[str]) -> set[str]:
    """
    :param given: Keys that override an entry: of a trial, or of the command line
    :return: The keys of the entry that no longer hold: noise in one form replaces noise in the other
    """
    given = set(given)
    if "action_noise" in given:
        return set(NOISE_KEYS) - given
    return {"action_noise"} if given.intersection(NOISE_KEYS) else set()


def check_noise_keys(hyperparams: Mapping[str, Any], source: str) -> None:
    """
    :param hyperparams: An entry
    :param source: File and entry, for the message
    :raises ConfigurationError: naming the file and the key
    """
    keys = {key: hyperparams[key] for key in NOISE_KEYS if key in hyperparams}
    noise_type = keys.get("noise_type")
    if noise_type is None:
        _check_no_noise_keys(keys, source)
        return
    if hyperparams.get("action_noise") is not None:
        raise ConfigurationError(f"{source}: action_noise and noise_type are both given: leave one of them out")
    if not isinstance(noise_type, str) or noise_type.strip() not in NOISE_TYPES:
        hint = did_you_mean(str(noise_type), NOISE_TYPES)
        raise ConfigurationError(
            f"{source}: noise_type {noise_type!r} is unknown{hint or '.'} Known: {', '.join(NOISE_TYPES)}"
        )
    if keys.get("noise_std") is None:
        raise ConfigurationError(f"{source}: noise_type {noise_type!r} needs the key 'noise_std'")
    action_dim = max((len(value) for value in keys.values() if isinstance(value, list)), default=1)
    try:
        make_noise(noise_specification(keys), action_dim)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{source}: the noise keys ({used_keys(keys)}) cannot be used: {error}") from error


def _check_no_noise_keys(keys: Mapping[str, Any], source: str) -> None:
    """
    :param keys: The noise keys of an entry without a type. One that says ``noise_type: null`` may keep the others
    :param source: File and entry, for the message
    :raises ConfigurationError: if a key would be ignored
    """
    ignored = next((key for key, value in keys.items() if value is not None), None)
    if "noise_type" not in keys and ignored is not None:
        raise ConfigurationError(
            f"{source}: {ignored} {keys[ignored]!r} needs the key 'noise_type': {', '.join(NOISE_TYPES)}, or null for no "
            "noise. (In action_noise it is part of the specification)"
        )
