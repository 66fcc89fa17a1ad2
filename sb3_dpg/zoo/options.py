"""Options that are read before rl-zoo3's own parsers see the command line."""

import argparse
import importlib
from collections.abc import Callable, Sequence

import gymnasium as gym
from huggingface_sb3 import EnvironmentName
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.utils import get_device

from sb3_dpg.common.errors import ConfigurationError, Parser, did_you_mean, unknown_name


def own_parser(command: str = "") -> argparse.ArgumentParser:
    """A parser for options beyond rl-zoo3's; it leaves alone what it does not know."""
    # No help of its own, as rl-zoo3's parser has one; no abbreviations, as they might be meant for rl-zoo3's options
    return Parser(f"sb3-dpg {command}", add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)


def add_gym_packages(parser: argparse.ArgumentParser) -> None:
    """For a command whose rl-zoo3 script has no such option; its own environments need it all the same."""
    parser.add_argument(
        "--gym-packages", nargs="+", default=[], metavar="PACKAGE", help="modules to import that register environments"
    )


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return not {"-h", "--help"}.isdisjoint(arguments)


def split_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options beyond rl-zoo3's, and the rest of the command line; if that asks for help, ours is printed first."""
    if asks_for_help(arguments):
        print(parser.format_help().strip().replace("options:", "options of sb3-dpg:"), end="\n\noptions of rl-zoo3:\n")
    return parser.parse_known_args(arguments)


def look_ahead(arguments: Sequence[str]) -> argparse.Namespace:
    """What it says of algorithm, environment, device, files and folders, and which agent."""
    parser = own_parser()
    parser.add_argument("--algo", nargs="?")
    parser.add_argument("--env", nargs="?")
    parser.add_argument("--device")
    parser.add_argument("-f", "--folder", "--log-folder", nargs="?", dest="folder")
    parser.add_argument("--gym-packages", nargs="*", default=[])
    parser.add_argument("-conf", "--conf-file")
    parser.add_argument("-tb", "--tensorboard-log", nargs="?")
    parser.add_argument("--exp-id", type=int, default=0)
    parser.add_argument("--load-best", action="store_true")
    parser.add_argument("--load-checkpoint", type=int)
    parser.add_argument("--load-last-checkpoint", action="store_true")
    return parser.parse_known_args(arguments)[0]


def env_folder(arguments: Sequence[str]) -> str:
    """The name of the environment, as in the names of folders."""
    return str(EnvironmentName(look_ahead(arguments).env or "CartPole-v1"))


def check_algorithm(option: str, algo: str) -> None:
    """Answer a misspelt algorithm with the nearest name."""
    if algo not in ALGOS:
        raise ConfigurationError(f"{option} {unknown_name(algo, ALGOS)}")


#: What options of ``train`` for numbers allow; of its own rl-zoo3 finds out late, or never
RANGES: dict[str, tuple[Callable[[int], bool], str]] = {
    "-n/--n-timesteps": (lambda number: number >= 1 or number == -1, "at least 1, or -1 for the entry's"),
    "--trial-id": (lambda number: number >= 0, "at least 0"),
    "--max-total-trials": (lambda number: number >= 1, "at least 1"),
    "--eval-episodes": (lambda number: number >= 1, "at least 1"),
    "--n-eval-envs": (lambda number: number >= 1, "at least 1"),
    "--n-trials": (lambda number: number >= 1, "at least 1"),
    "--n-evaluations": (lambda number: number >= 1, "at least 1"),
    "--n-startup-trials": (lambda number: number >= 0, "at least 0"),
    "--n-jobs": (lambda number: number >= 1 or number == -1, "at least 1, or -1 for as many as there are cores"),
    "--log-interval": (lambda number: number != 0, "at least 1, -1 for the algorithm's own, or -2 for none"),
    "--seed": (lambda number: number < 2**32, "below 2 ** 32"),
    "--heartbeat": (lambda number: number >= 1, "at least 1 second"),
}


def check_ranges(arguments: Sequence[str]) -> None:
    """Refuse numbers that ``train`` cannot use."""
    parser = own_parser("train")
    for option in RANGES:
        parser.add_argument(*option.split("/"), type=int, dest=option)
    for option, number in vars(parser.parse_known_args(arguments)[0]).items():
        is_allowed, allowed = RANGES[option]
        if number is not None and not is_allowed(number):
            raise ConfigurationError(f"{option} {number}: must be {allowed}")


def check_names(arguments: Sequence[str], gym_packages: Sequence[str] = ()) -> None:
    """Answer a misspelt algorithm, environment or device, and a missing TensorBoard, before rl-zoo3 begins."""
    names = look_ahead(arguments)
    if names.algo is not None:
        check_algorithm("--algo", names.algo)
    if names.device is not None:
        try:
            get_device(names.device)
        except RuntimeError as error:
            raise ConfigurationError(f"--device {names.device}: {error}") from error
    if names.tensorboard_log:
        importlib.import_module("tensorboard")
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
