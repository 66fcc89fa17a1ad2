"""What a saved agent says of itself, without loading it."""

import json
import zipfile
from pathlib import Path
from typing import Any

from sb3_dpg.common.errors import ConfigurationError


def saved_attribute(path: str | Path, name: str) -> Any:
    """
    Read one plain attribute without loading the agent.

    :param path: A saved agent, a .zip file
    :param name: Name of an attribute that is a number, a text or None
    :return: Its value
    :raises ConfigurationError: if the file is no saved agent
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("data"))[name]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: not a saved agent ({error})") from error


def saved_timesteps(path: str | Path) -> int:
    """
    :param path: A saved agent, a .zip file
    :return: How many steps it was trained for
    """
    return int(saved_attribute(path, "num_timesteps"))


def check_saved_algorithm(path: str | Path, algo: str) -> None:
    """
    SB3 loads an agent of another algorithm where the constructors allow it, and its networks with it.

    :param path: A saved agent, a .zip file
    :param algo: Name of the algorithm that is to go on with it
    :raises ConfigurationError: if its policy is one that comes with other algorithms only
    """
    from rl_zoo3.utils import ALGOS

    policy = saved_attribute(path, "policy_class")
    module = policy.get("__module__") if isinstance(policy, dict) else None
    owners = [
        name
        for name, algorithm in ALGOS.items()
        if module in {alias.__module__ for alias in algorithm.policy_aliases.values()}
    ]
    if owners and algo not in owners:
        raise ConfigurationError(f"{path}: an agent of {' or '.join(owners)}, with which {algo} cannot go on")
