"""Hyperparameter files: where they are, and whether what they say can be used."""

import inspect
import math
from collections.abc import Mapping, MutableMapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_dpg.common.errors import ConfigurationError, did_you_mean

#: Keys that rl-zoo3 takes out of an entry before it builds the algorithm
ZOO_KEYS = frozenset(
    {
        "callback",
        "env_kwargs",
        "env_wrapper",
        "frame_stack",
        "monitor_kwargs",
        "n_envs",
        "n_timesteps",
        "normalize",
        "vec_env_wrapper",
    }
)
#: Arguments of the constructors that options of ``train`` give
GIVEN_BY_OPTIONS = {
    "seed": "--seed",
    "device": "--device",
    "verbose": "--verbose",
    "tensorboard_log": "--tensorboard-log",
}
#: What rl-zoo3 can read of a key's value; text is an expression that it evaluates, or the name of a class.
#: Files of Python may hold the classes and callbacks themselves
ZOO_TYPES: dict[str, tuple[type, ...]] = {
    "callback": (str, dict, list, BaseCallback),
    "env_kwargs": (dict,),
    "env_wrapper": (str, dict, list, type),
    "frame_stack": (int,),
    "monitor_kwargs": (dict, str),
    "n_envs": (int,),
    "n_timesteps": (int, float),
    "normalize": (bool, dict, str),
    "policy_kwargs": (dict, str),
    "replay_buffer_kwargs": (dict, str),
    "vec_env_wrapper": (str, dict, list, type),
}
#: Those whose text is an expression
EVALUATED = ("monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_kwargs")
#: Where nothing at all means that there is none
MAY_BE_EMPTY = frozenset(
    {
        "callback",
        "env_wrapper",
        "frame_stack",
        "policy_kwargs",
        "replay_buffer_class",
        "replay_buffer_kwargs",
        "vec_env_wrapper",
    }
)
#: Those that count something
COUNTS = frozenset({"frame_stack", "n_envs", "n_timesteps"})
#: The zoo's own two, and ours
NOISE_KEYS = ("noise_type", "noise_std", "noise_theta", "noise_dt")


def shipped_hyperparameters(algo: str) -> Path | None:
    """
    :param algo: Name of an algorithm, for instance "bnddpg"
    :return: Our hyperparameter file for it: inside the package when installed from a wheel, ``hyperparams/`` of the clone
        for an editable installation; None where we have none
    """
    package = Path(str(resources.files("sb3_dpg")))
    for folder in (package / "hyperparams", package.parent / "hyperparams"):
        if (folder / f"{algo}.yml").is_file():
            return folder / f"{algo}.yml"
    return None


def default_config(algo: str, env_id: str) -> str | None:
    """
    Choose the file for an experiment that names none. For a built-in algorithm rl-zoo3's file comes first, and ours serves
    the environments that it has no entry for.

    :param algo: Name of the algorithm
    :param env_id: Id of the environment
    :return: Path of our file, or None for rl-zoo3's
    """
    import rl_zoo3

    ours = shipped_hyperparameters(algo)
    if ours is None:
        return None
    zoo_file = Path(rl_zoo3.__file__).parent / "hyperparams" / f"{algo}.yml"
    if zoo_file.is_file() and (env_id in load_yaml(zoo_file) or env_id not in load_yaml(ours)):
        return None
    return str(ours)


def load_yaml(path: str | Path, loader: type[yaml.SafeLoader | yaml.UnsafeLoader] = yaml.SafeLoader) -> dict[str, Any]:
    """
    :param path: A hyperparameter file
    :param loader: How to read it: ``UnsafeLoader`` for one that a run of our own wrote, with Python objects
    :return: Its entries by environment id
    :raises ConfigurationError: if it cannot be read or is not a table of environments
    """
    try:
        entries = yaml.load(Path(path).read_text(), Loader=loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigurationError(f"{path}: must hold a table of hyperparameters for each environment id")
    return entries


def constructor_keys(algorithm: type[BaseAlgorithm]) -> set[str]:
    """
    :param algorithm: Class of an algorithm
    :return: What its constructor takes from a hyperparameter file
    """
    given_by_the_zoo = {"self", "env", "_init_setup_model"}
    return set(inspect.signature(algorithm.__init__).parameters) - given_by_the_zoo


def check_hyperparameters(hyperparams: Mapping[str, Any], algorithm: type[BaseAlgorithm], source: str) -> None:
    """
    Find what is wrong before an environment is made and an obscure error is raised far from the file.

    :param hyperparams: An entry of a hyperparameter file
    :param algorithm: The algorithm it is for
    :param source: File and entry, for the message
    :raises ConfigurationError: naming the file and the key
    """
    known = constructor_keys(algorithm) | ZOO_KEYS
    if "action_noise" in known:
        known |= set(NOISE_KEYS)
    for key in hyperparams:
        if key in GIVEN_BY_OPTIONS:
            raise ConfigurationError(f"{source}: {key!r} is no hyperparameter: give the option {GIVEN_BY_OPTIONS[key]}")
        if key not in known:
            raise ConfigurationError(f"{source}: unknown key {key!r} for {algorithm.__name__}{did_you_mean(str(key), known)}")
    for key in ("policy", "n_timesteps"):
        if key not in hyperparams:
            raise ConfigurationError(f"{source}: the key {key!r} is missing")
    check_zoo_values(hyperparams, source)
    policy = hyperparams["policy"]
    aliases = algorithm.policy_aliases
    if not isinstance(policy, str) or ("." not in policy and policy not in aliases):
        hint = did_you_mean(str(policy), aliases)
        raise ConfigurationError(
            f"{source}: policy {policy!r} is unknown for {algorithm.__name__}{hint or '.'} "
            f"Known: {', '.join(aliases)}, or module.Class"
        )


def drop_empty(hyperparams: MutableMapping[str, Any]) -> None:
    """
    :param hyperparams: An entry. Keys that say that there is none are removed: rl-zoo3's enjoy takes them for something
    """
    for key in MAY_BE_EMPTY:
        if key in hyperparams and hyperparams[key] is None:
            del hyperparams[key]


def check_zoo_values(hyperparams: Mapping[str, Any], source: str) -> None:
    """
    Check the values of the keys that rl-zoo3 reads itself.

    :param hyperparams: An entry of a hyperparameter file
    :param source: File and entry, for the message
    :raises ConfigurationError: naming the file and the key
    """
    for key, types in ZOO_TYPES.items():
        if key not in hyperparams:
            continue
        value = hyperparams[key]
        # bool is a subclass of int
        readable = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not readable:
            allowed = " or ".join(kind.__name__ for kind in types)
            raise ConfigurationError(f"{source}: {key} must be {allowed}, not {value!r}")
        if key in COUNTS and not 1 <= value < math.inf:
            raise ConfigurationError(f"{source}: {key} must be at least 1 and finite, not {value!r}")
        if isinstance(value, str) and not value.strip():
            raise ConfigurationError(f"{source}: {key} must not be empty text")
