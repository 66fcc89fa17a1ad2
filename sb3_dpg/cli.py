"""The command ``sb3-dpg``: rl-zoo3's scripts with our algorithms, and our benchmark."""

import argparse
import os
import pkgutil
import sys
from collections.abc import Sequence

from sb3_dpg import __version__
from sb3_dpg.common.errors import Parser, run_command

#: Where each is, imported when it is called (help should not wait for rl-zoo3), and its line of help
COMMANDS = {
    "train": ("sb3_dpg.zoo.training:train", "train an agent, continue training one, search hyperparameters"),
    "enjoy": ("sb3_dpg.zoo.playback:enjoy", "replay a trained agent"),
    "record-video": ("sb3_dpg.zoo.playback:record_video", "record a video of a trained agent"),
    "benchmark": ("sb3_dpg.benchmark.cli:main", "run a study over algorithms, environments and seeds"),
    "plot-train": ("sb3_dpg.zoo.plots:plot_train", "plot training returns of one algorithm"),
    "all-plots": ("sb3_dpg.zoo.plots:all_plots", "plot and tabulate evaluations of several algorithms and seeds"),
    "plot-from-file": ("sb3_dpg.zoo.plots:plot_from_file", "plot what all-plots saved, with rliable if asked"),
    "plot-policy": ("sb3_dpg.zoo.policy_plots:main", "draw mu, V or Q of a saved model over two dimensions"),
    "push-to-hub": ("sb3_dpg.zoo.hub:push_to_hub", "make a model repository of a trained agent and upload it"),
    "load-from-hub": ("sb3_dpg.zoo.hub:load_from_hub", "download a trained agent, or read it from such a folder"),
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command's name; the rest is for the command."""
    parser = Parser(
        prog="sb3-dpg",
        description="Deterministic policy gradients for Stable-Baselines3, with rl-zoo3's tools.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<15} {summary}" for name, (_, summary) in COMMANDS.items())
        + "\n\nEach has its own options: sb3-dpg COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sb3-dpg {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: The command line, None for the process's own
    :return: The exit code
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = make_parser().parse_args(arguments[:1]).command
    # rl-zoo3's parsers read sys.argv and name themselves after it
    sys.argv = [f"sb3-dpg {name}", *arguments[1:]]
    # python -m puts the current directory on the path, for --gym-packages, wrappers and callbacks: the script does not.
    # Behind all others, so that no file there hides an installed module
    if not {"", os.getcwd()}.intersection(sys.path):
        sys.path.append(os.getcwd())
    try:
        return run_command(f"sb3-dpg {name}", lambda: pkgutil.resolve_name(COMMANDS[name][0])(arguments[1:]))
    except KeyboardInterrupt:
        return 130
