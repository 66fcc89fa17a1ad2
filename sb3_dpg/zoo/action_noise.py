"""
Action noise in hyperparameter files: the keys ``noise_type``, ``noise_std``, ``noise_theta`` and ``noise_dt``, or a
specification, ``action_noise``. All that translates the one into the other is here.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.errors import unknown_name
from sb3_dpg.common.noise import make_noise

NOISE_TYPES = ("normal", "ornstein-uhlenbeck")
#: The keys, by their names in a noise specification
_SPECIFICATION_NAMES = {"noise_type": "type", "noise_std": "sigma", "noise_theta": "theta", "noise_dt": "dt"}
NOISE_KEYS = tuple(_SPECIFICATION_NAMES)
_CALLBACK = f"{ActionNoiseCallback.__module__}.{ActionNoiseCallback.__qualname__}"


def noise_specification(keys: Mapping[str, Any]) -> dict[str, Any] | None:
    """The specification that ``make_noise`` takes of the noise keys of an entry, None for no noise."""
    if keys.get("noise_type") is None:
        return None
    values = {key: value.strip() if isinstance(value, str) else value for key, value in keys.items()}
    return {_SPECIFICATION_NAMES[key]: value for key, value in values.items() if value is not None}


def superseded_noise_keys(given: Iterable[str]) -> set[str]:
    """The entry's keys that no longer hold where these are given: noise in one form replaces noise in the other."""
    given = set(given)
    if "action_noise" in given:
        return set(NOISE_KEYS) - given
    return {"action_noise"} if given.intersection(NOISE_KEYS) else set()


def resolve_noise(hyperparams: MutableMapping[str, Any], is_ours: bool, keeps_noise: bool) -> Mapping[str, Any] | None:
    """
    Replace the noise of an entry by what makes it: a specification for our algorithms, rl-zoo3's own keys for a built-in one
    where rl-zoo3 understands them (a type and one plain number), an ``ActionNoiseCallback`` where it does not.

    :param hyperparams: An entry
    :param is_ours: Whether the algorithm is one of ours
    :param keeps_noise: Whether a saved agent goes on with the noise that it has
    :return: The specification of the noise if it is ours
    """
    keys = {key: hyperparams.pop(key) for key in NOISE_KEYS if key in hyperparams}
    specification: Mapping[str, Any] | None = noise_specification(keys)
    std = keys.get("noise_std")
    is_number = isinstance(std, int | float) and not isinstance(std, bool)
    if specification is None:
        given = hyperparams.get("action_noise")
        specification = given if isinstance(given, Mapping) else None
    elif not is_ours and is_number and keys.get("noise_theta") is None and keys.get("noise_dt") is None:
        hyperparams.update({key: keys[key] for key in ("noise_type", "noise_std")})
        return None
    if is_ours and specification is not None:
        hyperparams["action_noise"] = specification
    elif specification is not None:
        hyperparams.pop("action_noise", None)
        callbacks = hyperparams.get("callback") or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        hyperparams["callback"] = [*callbacks, {_CALLBACK: {"noise": None if keeps_noise else specification}}]
    elif "noise_type" in keys:
        # Said explicitly: neither the default noise, nor that of a saved agent
        hyperparams.setdefault("action_noise", None)
    return specification


def check_noise_keys(hyperparams: Mapping[str, Any]) -> None:
    """Raise a ``ValueError`` that names the noise key that cannot be used, or would be ignored."""
    keys = {key: hyperparams[key] for key in NOISE_KEYS if key in hyperparams}
    noise_type = keys.get("noise_type")
    if noise_type is None:
        # An entry that says noise_type: null may keep the others
        ignored = next((key for key, value in keys.items() if value is not None), None)
        if "noise_type" not in keys and ignored is not None:
            raise ValueError(
                f"{ignored} {keys[ignored]!r} needs the key 'noise_type': {', '.join(NOISE_TYPES)}, or null for no noise. "
                "(In action_noise it is part of the specification)"
            )
        return
    if hyperparams.get("action_noise") is not None:
        raise ValueError("action_noise and noise_type are both given: leave one of them out")
    if not isinstance(noise_type, str) or noise_type.strip() not in NOISE_TYPES:
        raise ValueError(f"noise_type {unknown_name(noise_type, NOISE_TYPES)}")
    if keys.get("noise_std") is None:
        raise ValueError(f"noise_type {noise_type!r} needs the key 'noise_std'")
    action_dim = max((len(value) for value in keys.values() if isinstance(value, list)), default=1)
    check_noise(noise_specification(keys), action_dim, keys)


def check_noise(specification: Any, action_dim: int, keys: Mapping[str, Any]) -> None:
    """Raise a ``ValueError`` if the noise cannot be made, naming the keys that it was made of."""
    try:
        make_noise(specification, action_dim)
    except (TypeError, ValueError) as error:
        used = ", ".join(key for key, value in keys.items() if value is not None)
        raise ValueError(f"the noise keys ({used}) cannot be used: {error}") from error
