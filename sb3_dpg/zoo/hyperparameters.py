"""Hyperparameter files: where they are, and whether what they say can be used."""

import importlib
import inspect
import math
import runpy
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from rl_zoo3 import exp_manager
from rl_zoo3.utils import get_class_by_name
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_dpg.common.errors import READING_ERRORS, ConfigurationError, did_you_mean, unknown_name
from sb3_dpg.zoo.action_noise import NOISE_KEYS

#: Arguments of the constructors that options of ``train`` give
GIVEN_BY_OPTIONS = ("seed", "device", "verbose", "tensorboard_log")
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
#: Those that rl-zoo3 takes out of an entry before it builds the algorithm
ZOO_KEYS = frozenset(ZOO_TYPES) - {"policy_kwargs", "replay_buffer_kwargs"}
#: Those whose text is an expression
EVALUATED = {"monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs"}
#: Where nothing at all means that there is none
MAY_BE_EMPTY = {"callback", "env_wrapper", "frame_stack", "replay_buffer_class", "vec_env_wrapper"} | {
    "policy_kwargs", "replay_buffer_kwargs"
}  # fmt: skip
#: Those that count something
COUNTS = frozenset({"frame_stack", "n_envs", "n_timesteps"})


def shipped_hyperparameters(algo: str) -> Path | None:
    """Our hyperparameter file for an algorithm, None where we have none."""
    package = Path(str(resources.files("sb3_dpg")))
    for folder in (package / "hyperparams", package.parent / "hyperparams"):
        if (folder / f"{algo}.yml").is_file():
            return folder / f"{algo}.yml"
    return None


def default_config(algo: str, env_id: str, zoo_file: str) -> str:
    """Our file, or rl-zoo3's: of a built-in algorithm that comes first, and ours serves what it has no entry for."""
    ours = shipped_hyperparameters(algo)
    if ours is None:
        return zoo_file
    if Path(zoo_file).is_file() and (env_id in load_yaml(zoo_file) or env_id not in load_yaml(ours)):
        return zoo_file
    return str(ours)


def load_yaml(path: str | Path, loader: type[yaml.SafeLoader | yaml.UnsafeLoader] = yaml.SafeLoader) -> dict[str, Any]:
    """The entries of a hyperparameter file by environment id."""
    try:
        entries = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (RecursionError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigurationError(f"{path}: must hold a table of hyperparameters for each environment id")
    return entries


def read_entry(config: str, env_id: str, is_atari: bool, loader: type[yaml.SafeLoader | yaml.UnsafeLoader]) -> dict[str, Any]:
    """Read the entry of an environment, or the default one, as rl-zoo3 does: of a YAML file, a Python file or a module."""
    try:
        if config.endswith((".yml", ".yaml")):
            entries = load_yaml(config, loader)
        elif config.endswith(".py"):
            entries = runpy.run_path(config)["hyperparams"]
        else:
            entries = importlib.import_module(config).hyperparams
    except OSError as error:
        raise ConfigurationError(f"{config}: cannot be read ({error.strerror})") from error
    except (AttributeError, KeyError, ModuleNotFoundError) as error:
        raise ConfigurationError(f"{config}: it has no 'hyperparams' ({error})") from error
    for name in (env_id, *(["atari"] if is_atari else []), "default"):
        if name in entries:
            return dict(entries[name])
    raise ConfigurationError(f"{config}: no entry for {env_id} and no 'default'. It has: {', '.join(entries)}")


def constructor_keys(algorithm: type[BaseAlgorithm]) -> set[str]:
    """What an algorithm's constructor takes from a hyperparameter file."""
    given_by_the_zoo = {"self", "env", "_init_setup_model"}
    return set(inspect.signature(algorithm.__init__).parameters) - given_by_the_zoo


def check_hyperparameters(hyperparams: Mapping[str, Any], algorithm: type[BaseAlgorithm]) -> None:
    """Find what is wrong before an environment is made and an obscure error is raised far from the file."""
    known = constructor_keys(algorithm) | ZOO_KEYS
    if "action_noise" in known:
        known |= set(NOISE_KEYS)
    for key in hyperparams:
        if key in GIVEN_BY_OPTIONS:
            raise ValueError(f"{key!r} is no hyperparameter: give the option --{key.replace('_', '-')}")
        if key not in known:
            raise ValueError(f"unknown key {key!r} for {algorithm.__name__}{did_you_mean(str(key), known)}")
    for key in ("policy", "n_timesteps"):
        if key not in hyperparams:
            raise ValueError(f"the key {key!r} is missing")
    _check_zoo_values(hyperparams)
    policy = hyperparams["policy"]
    if not isinstance(policy, str) or ("." not in policy and policy not in algorithm.policy_aliases):
        raise ValueError(
            f"policy {unknown_name(policy, algorithm.policy_aliases)}, and module.Class, for {algorithm.__name__}"
        )


def drop_empty(hyperparams: MutableMapping[str, Any]) -> None:
    """Remove keys that say that there is none: rl-zoo3's enjoy takes them for something."""
    for key in MAY_BE_EMPTY:
        if key in hyperparams and hyperparams[key] is None:
            del hyperparams[key]


def _check_zoo_values(hyperparams: Mapping[str, Any]) -> None:
    """Check the values of the keys that rl-zoo3 reads itself."""
    for key, types in ZOO_TYPES.items():
        if key not in hyperparams:
            continue
        value = hyperparams[key]
        # bool is a subclass of int
        readable = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not readable:
            raise ValueError(f"{key} must be {' or '.join(kind.__name__ for kind in types)}, not {value!r}")
        if key in COUNTS and not 1 <= value < math.inf:
            raise ValueError(f"{key} must be at least 1 and finite, not {value!r}")
        if isinstance(value, str) and not value.strip():
            raise ValueError(f"{key} must not be empty text")


def evaluated(key: str, value: Any) -> Any:
    """What a value of one of ``EVALUATED`` means, with the names that rl-zoo3 evaluates expressions with."""
    if not isinstance(value, str):
        return value
    try:
        return eval(value, dict(vars(exp_manager)))
    except READING_ERRORS as error:
        raise ValueError(f"{key}={value!r} cannot be evaluated: {error}") from error


def resolve_texts(hyperparams: MutableMapping[str, Any]) -> None:
    """Replace text that is an expression or names a class by what it means, as rl-zoo3 would further on."""
    for key in hyperparams.keys() & EVALUATED:
        hyperparams[key] = evaluated(key, hyperparams[key])
        if key.endswith("_kwargs") and not isinstance(hyperparams[key], dict):
            raise ValueError(f"{key}={hyperparams[key]!r} is no table")
    if not isinstance(hyperparams.get("normalize", {}), bool | dict):
        raise ValueError(f"normalize={hyperparams['normalize']!r} is no table")
    if "." in hyperparams["policy"]:
        # rl-zoo3 imports it itself, and does not say which key was wrong
        _find_class("policy", hyperparams["policy"])
    for key in ("callback", "env_wrapper", "vec_env_wrapper"):
        value = hyperparams.get(key)
        entries = value if isinstance(value, list) else [value]
        for name in chain.from_iterable(entry if isinstance(entry, dict) else [entry] for entry in entries):
            if isinstance(name, str):
                _find_class(key, name)
    if "policy_kwargs" in hyperparams:
        hyperparams["policy_kwargs"] = {
            key: _find_class(f"policy_kwargs: {key}", value) if isinstance(value, str) and "." in value else value
            for key, value in hyperparams["policy_kwargs"].items()
        }


def _find_class(key: str, name: str) -> type:
    """The class of a full name; ``key`` is for the error."""
    try:
        return get_class_by_name(name)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(f"{key}={name!r} names no class ({error})") from error


def nested_keys(hyperparams: Mapping[str, Any]) -> Iterator[str]:
    """The keys of hyperparameters, and those of the tables in them."""
    for key, value in hyperparams.items():
        yield str(key)
        if isinstance(value, Mapping):
            yield from nested_keys(value)
