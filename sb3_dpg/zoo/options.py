"""Options that are read before rl-zoo3's own parsers see the command line."""

import argparse
import importlib
from collections.abc import Sequence

import gymnasium as gym
from stable_baselines3.common.utils import get_device

from sb3_dpg.common.errors import ConfigurationError, did_you_mean

#: Seconds between two signs of life of a trial, in a study that processes share
DEFAULT_HEARTBEAT = 60
#: A trial without a sign of life for that many intervals belongs to a dead process
GRACE_INTERVALS = 3


def own_parser(command: str) -> argparse.ArgumentParser:
    """
    :param command: Name of the command
    :return: A parser for options beyond rl-zoo3's; it leaves alone what it does not know
    """
    # No help of its own, as rl-zoo3's parser has one; no abbreviations, as they might be meant for rl-zoo3's options
    return argparse.ArgumentParser(f"sb3-dpg {command}", add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)


def add_gym_packages(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: The parser of a command whose rl-zoo3 script has no such option; its own environments need it all the same
    """
    parser.add_argument(
        "--gym-packages", nargs="+", default=[], metavar="PACKAGE", help="modules to import that register environments"
    )


def split_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """
    :param parser: A parser made by :func:`own_parser`
    :param arguments: The command line
    :return: The options beyond rl-zoo3's, and the rest of the command line; if that asks for help, ours is printed first
    """
    if {"-h", "--help"}.intersection(arguments):
        print(parser.format_help().strip().replace("options:", "options of sb3-dpg:"), end="\n\noptions of rl-zoo3:\n")
    options, rest = parser.parse_known_args(arguments)
    return options, rest


def look_ahead(arguments: Sequence[str]) -> argparse.Namespace:
    """
    :param arguments: The command line of an rl-zoo3 script
    :return: Algorithm, environment, device and log folder, None where not given
    """
    parser = own_parser("")
    parser.add_argument("--algo", nargs="?")
    parser.add_argument("--env", nargs="?")
    parser.add_argument("--device")
    parser.add_argument("-f", "--folder", "--log-folder", nargs="?", dest="folder")
    parser.add_argument("--gym-packages", nargs="*", default=[])
    return parser.parse_known_args(arguments)[0]


def check_algorithm(option: str, algo: str) -> None:
    """
    :param option: The option that gives it, for the error
    :param algo: Name of an algorithm
    :raises ConfigurationError: if it is unknown, naming the nearest one
    """
    from rl_zoo3.utils import ALGOS

    if algo not in ALGOS:
        raise ConfigurationError(f"{option} {algo!r} is unknown{did_you_mean(algo, ALGOS) or '.'} Known: {', '.join(ALGOS)}")


def check_device(device: str) -> None:
    """
    :param device: What was given as ``--device``
    :raises ConfigurationError: if PyTorch has no such device
    """
    try:
        get_device(device)
    except RuntimeError as error:
        raise ConfigurationError(f"--device {device}: {error}") from error


def check_names(arguments: Sequence[str], gym_packages: Sequence[str] = ()) -> None:
    """
    Answer a misspelt algorithm, environment or device, the first two with the nearest name.

    :param arguments: The command line of an rl-zoo3 script
    :param gym_packages: Modules that register environments, if they are not on it
    :raises ConfigurationError: if a name is unknown
    """
    import rl_zoo3.import_envs  # noqa: F401  # registers environments

    names = look_ahead(arguments)
    if names.algo is not None:
        check_algorithm("--algo", names.algo)
    if names.device is not None:
        check_device(names.device)
    for package in (*names.gym_packages, *gym_packages):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"--gym-packages {package}: {error}") from error
    if names.env is not None and names.env not in gym.registry:
        hint = did_you_mean(names.env, gym.registry)
        if ":" in names.env:
            # Gymnasium's own way to name a module, which rl-zoo3 does not know
            module, env_id = names.env.split(":", 1)
            hint = f": give --gym-packages {module} --env {env_id}"
        raise ConfigurationError(f"--env {names.env!r} is not registered{hint}")
