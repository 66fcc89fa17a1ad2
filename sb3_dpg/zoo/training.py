"""``sb3-dpg train``: rl-zoo3's train with our experiment manager."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rl_zoo3.train

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.checkpoints import check_saved_algorithm, check_whole, latest_checkpoint, resolve_trained_agent
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.options import check_names, check_ranges, env_folder, look_ahead, own_parser, split_options
from sb3_dpg.zoo.patches import patched, readable_errors
from sb3_dpg.zoo.registration import register_algorithms
from sb3_dpg.zoo.resume import earlier_options
from sb3_dpg.zoo.studies import DEFAULT_HEARTBEAT, GRACE_INTERVALS


def make_parser() -> argparse.ArgumentParser:
    """Parser of the options beyond rl-zoo3's."""
    parser = own_parser("train")
    parser.add_argument("-i", "--trained-agent", default="", help=argparse.SUPPRESS)
    latest = "continue from the latest checkpoint (--save-freq, Ctrl-C) of this algorithm on this environment"
    parser.add_argument("--resume", action="store_true", help=latest)
    parser.add_argument(
        "--restart",
        action="store_true",
        help="with -i or --resume: begin anew with the agent's weights, as rl-zoo3 does: steps, schedules and noise restart. "
        "Without it they carry on, and -n counts from the agent's own beginning",
    )
    signs = f"in a database: a trial silent for {GRACE_INTERVALS} times that long is run again (default: %(default)s)"
    parser.add_argument("--heartbeat", type=int, default=DEFAULT_HEARTBEAT, metavar="SECONDS", help=signs)
    return parser


def train(arguments: Sequence[str]) -> None:
    """``sb3-dpg train``, given the command line after it."""
    parser = make_parser()
    # The one abbreviation that everybody writes
    options, rest = split_options(parser, ["-optimize" if argument == "--optimize" else argument for argument in arguments])
    register_algorithms()
    check_names(rest)
    check_ranges(arguments)
    trained_agent = _find_trained_agent(options, rest)
    if options.restart and not trained_agent:
        raise ConfigurationError("--restart: it begins anew with the weights of an agent: give that by -i, or --resume")
    if trained_agent:
        trained_agent = resolve_trained_agent(trained_agent)
        check_saved_algorithm(trained_agent, look_ahead(rest).algo or "ppo")
        for name in (f"{env_folder(rest)}/vecnormalize.pkl", "replay_buffer.pkl", "evaluations.npz"):
            check_whole(Path(trained_agent).parent / name)
        if not options.restart:
            rest = _with_earlier_options(trained_agent, rest)
        rest += ["-i", trained_agent]
    sys.argv[1:] = rest
    managers: list[ExperimentManager] = []

    def create(*args: Any, **kwargs: Any) -> ExperimentManager:
        managers.append(ExperimentManager(*args, restart=options.restart, heartbeat=options.heartbeat, **kwargs))
        return managers[0]

    with readable_errors(parser.format_help()), patched(ExperimentManager=create):
        rl_zoo3.train.train()
    if managers[0].is_interrupted:
        # All is saved: this is for the exit code
        raise KeyboardInterrupt


def _with_earlier_options(trained_agent: str, rest: list[str]) -> list[str]:
    """rl-zoo3's options, after those of the run that is continued: of an option given twice the last counts."""
    earlier = earlier_options(trained_agent, env_folder(rest), rest)
    if earlier:
        print(f"As in the run that is continued: {shlex.join(earlier)}")
    return [*earlier, *rest]


def _find_trained_agent(options: argparse.Namespace, rest: Sequence[str]) -> str:
    """The agent to continue from, "" for none."""
    if options.resume:
        if options.trained_agent:
            raise ConfigurationError("--resume and -i: give one of them")
        names = look_ahead(rest)
        return str(latest_checkpoint(names.folder or "logs", names.algo or "ppo", env_folder(rest)))
    path = str(options.trained_agent)
    if path and not (path.endswith(".zip") and Path(path).is_file()):
        raise ConfigurationError(f"-i {path}: there is no such saved agent (a .zip file)")
    return path
