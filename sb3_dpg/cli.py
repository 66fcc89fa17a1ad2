"""The command ``sb3-dpg``: rl-zoo3's scripts with our algorithms, and our benchmark."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from sb3_dpg.common.errors import DEBUG_VARIABLE, ConfigurationError, did_you_mean, missing_extra


class Command(NamedTuple):
    """
    :param target: Module and function that run it; imported when it is run, so that one broken script leaves the others alone
    :param summary: One line of help
    """

    target: str
    summary: str


COMMANDS = {
    "train": Command("sb3_dpg.zoo.training:train", "train an agent, continue training one, search hyperparameters"),
    "enjoy": Command("sb3_dpg.zoo.playback:enjoy", "replay a trained agent"),
    "record-video": Command("sb3_dpg.zoo.playback:record_video", "record a video of a trained agent"),
    "record-training": Command("sb3_dpg.zoo.playback:record_training", "record a video of all checkpoints of a run"),
    "benchmark": Command("sb3_dpg.benchmark.cli:main", "run a study over algorithms, environments and seeds"),
    "plot-train": Command("sb3_dpg.zoo.plots:plot_train", "plot training returns of one algorithm"),
    "all-plots": Command("sb3_dpg.zoo.plots:all_plots", "plot and tabulate evaluations of several algorithms and seeds"),
    "plot-from-file": Command("sb3_dpg.zoo.plots:plot_from_file", "plot what all-plots saved, with rliable if asked"),
    "plot-policy": Command("sb3_dpg.zoo.policy_plots:main", "draw mu, V or Q of a saved model over two dimensions"),
    "push-to-hub": Command("sb3_dpg.zoo.hub:push_to_hub", "make a model repository of a trained agent and upload it"),
    "load-from-hub": Command("sb3_dpg.zoo.hub:load_from_hub", "download a trained agent, or read it from such a folder"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser that answers an unknown command with the nearest one."""

    def error(self, message: str) -> NoReturn:
        match = re.search(r"invalid choice: '([^']*)'", message)
        if match:
            message = f"unknown command {match[1]!r}{did_you_mean(match[1], COMMANDS)} (see sb3-dpg --help)"
        self.exit(2, f"{self.prog}: error: {message}\n")


def make_parser() -> argparse.ArgumentParser:
    """
    :return: The parser of the command's name; the rest is for the command
    """
    from sb3_dpg import __version__

    parser = Parser(
        prog="sb3-dpg",
        description="Deterministic policy gradients for Stable-Baselines3, with rl-zoo3's tools.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<16} {command.summary}" for name, command in COMMANDS.items())
        + "\n\nEach has its own options: sb3-dpg COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sb3-dpg {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND")
    return parser


def one_line(error: Exception) -> str | None:
    """
    :param error: What a command raised
    :return: What to tell the user, None for an error that is not of their making
    """
    from gymnasium.error import DependencyNotInstalled

    if isinstance(error, DependencyNotInstalled):
        error = ImportError(str(error))
    if isinstance(error, ImportError):
        return missing_extra(error)
    if isinstance(error, ConfigurationError):
        return str(error)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: The command line, None for the process's own
    :return: The exit code
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = make_parser().parse_args(arguments[:1]).command
    module_name, function_name = COMMANDS[name].target.split(":")
    # rl-zoo3's parsers read sys.argv and name themselves after it
    sys.argv = [f"sb3-dpg {name}", *arguments[1:]]
    # python -m puts the current directory on the path, for --gym-packages, wrappers and callbacks: the script does not.
    # Behind all others, so that no file there hides an installed module
    if not {"", os.getcwd()}.intersection(sys.path):
        sys.path.append(os.getcwd())
    try:
        result = getattr(importlib.import_module(module_name), function_name)(arguments[1:])
    except Exception as error:
        message = one_line(error)
        if message is None or os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"sb3-dpg {name}: error: {' '.join(message.split())}", file=sys.stderr)
        return 1
    return int(result or 0)
