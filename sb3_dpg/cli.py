"""The command ``sb3-dpg``: rl-zoo3's scripts with our algorithms, and our benchmark."""

import argparse
import os
import sys
from collections.abc import Sequence

from sb3_dpg.common.errors import DEBUG_VARIABLE, Parser, one_line

#: What there is, with its line of help
COMMANDS = {
    "train": "train an agent, continue training one, search hyperparameters",
    "enjoy": "replay a trained agent",
    "record-video": "record a video of a trained agent",
    "benchmark": "run a study over algorithms, environments and seeds",
    "plot-train": "plot training returns of one algorithm",
    "all-plots": "plot and tabulate evaluations of several algorithms and seeds",
    "plot-from-file": "plot what all-plots saved, with rliable if asked",
    "plot-policy": "draw mu, V or Q of a saved model over two dimensions",
    "push-to-hub": "make a model repository of a trained agent and upload it",
    "load-from-hub": "download a trained agent, or read it from such a folder",
}


def run(name: str, arguments: Sequence[str]) -> int | None:
    """Run a command of ``COMMANDS``; its exit code, None for 0."""
    # Imported here: help and version should not wait for rl-zoo3
    if name == "benchmark":
        from sb3_dpg.benchmark.cli import main as benchmark

        return benchmark(arguments)
    from sb3_dpg.zoo import hub, playback, plots, policy_plots, training

    commands = {
        "train": training.train,
        "enjoy": playback.enjoy,
        "record-video": playback.record_video,
        "plot-train": plots.plot_train,
        "all-plots": plots.all_plots,
        "plot-from-file": plots.plot_from_file,
        "plot-policy": policy_plots.main,
        "push-to-hub": hub.push_to_hub,
        "load-from-hub": hub.load_from_hub,
    }
    commands[name](arguments)
    return None


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command's name; the rest is for the command."""
    from sb3_dpg import __version__

    parser = Parser(
        prog="sb3-dpg",
        description="Deterministic policy gradients for Stable-Baselines3, with rl-zoo3's tools.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<15} {summary}" for name, summary in COMMANDS.items())
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
        return int(run(name, arguments[1:]) or 0)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        message = one_line(error)
        if message is None or os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"sb3-dpg {name}: error: {' '.join(message.split())}", file=sys.stderr)
        return 1
