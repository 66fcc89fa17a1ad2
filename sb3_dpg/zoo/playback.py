"""``sb3-dpg enjoy`` and ``record-video``: rl-zoo3's scripts on trained agents."""

import argparse
import contextlib
import io
import os
import pickle
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3.utils import get_latest_run_id, get_model_path

from sb3_dpg.common.errors import DEBUG_VARIABLE, ConfigurationError
from sb3_dpg.zoo.checkpoints import check_whole, checkpoints, resolve_trained_agent
from sb3_dpg.zoo.options import add_gym_packages, asks_for_help, check_names, env_folder, look_ahead, own_parser, split_options
from sb3_dpg.zoo.patches import create_test_env_with, load_from_hub_or, patched, readable_errors
from sb3_dpg.zoo.registration import OUR_ALGORITHMS, register_algorithms

#: Where ``train`` writes
LOG_FOLDER = "logs"
#: Where rl-zoo3 looks for agents, and puts those that it downloads
ZOO_FOLDER = "rl-trained-agents"


def agent_in(folder: str, names: argparse.Namespace) -> tuple[int, str]:
    """Number of the run and path of the agent in a log folder; of several runs the latest that has such an agent."""
    algo, env_name = names.algo or "ppo", EnvironmentName(names.env or "CartPole-v1")
    run_ids = [names.exp_id]
    if names.exp_id == 0:
        latest = get_latest_run_id(os.path.join(folder, algo), env_name)
        run_ids = list(range(latest, 0, -1)) or [0]
    errors = []
    for run_id in run_ids:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                _, path, _ = get_model_path(
                    run_id, folder, algo, env_name, names.load_best, names.load_checkpoint, names.load_last_checkpoint
                )
        except (AssertionError, ValueError) as error:
            errors.append(str(error))
            continue
        if errors:
            print(f"Passed over, as they have no such agent: {len(errors)} later run(s) in {folder}/{algo}")
        return run_id, path
    hint = " (a training that was killed has checkpoints: --load-last-checkpoint)" if "No model" in errors[0] else ""
    raise ConfigurationError(f"{errors[0]}{hint}")


def find_agent(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The command line with the log folder and the number of the run, and the path of the agent."""
    names = look_ahead(arguments)
    folders = [names.folder] if names.folder else [LOG_FOLDER] if names.algo in OUR_ALGORITHMS else [ZOO_FOLDER, LOG_FOLDER]
    errors = []
    for folder in folders:
        try:
            run_id, path = agent_in(folder, names)
        except ConfigurationError as error:
            errors.append(error)
        else:
            return [*arguments, "-f", folder, "--exp-id", str(run_id)], path
    raise errors[-1]


@contextlib.contextmanager
def replaying(path: str | None, own_help: str = "") -> Iterator[None]:
    """Inside, rl-zoo3's scripts normalise by the statistics of the agent in ``path``, and report mistakes in one line."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(readable_errors(own_help))
        if path is not None:
            run, complete = Path(path).parent, Path(resolve_trained_agent(path)).parent
            settings = env_folder(sys.argv[1:])
            if complete == run and look_ahead(sys.argv[1:]).load_last_checkpoint:
                # Saved within a rollout: the complete checkpoint is of its end, the run's own statistics are of its best agent
                complete = (checkpoints(run) or [run])[-1]
            for file in (run / settings / "args.yml", run / settings / "config.yml", complete / settings / "vecnormalize.pkl"):
                check_whole(file)
            if complete != run:
                stack.enter_context(patched(create_test_env=create_test_env_with(str(complete))))
        try:
            yield
        except ConfigurationError:
            raise
        except (AssertionError, OSError, TypeError, ValueError, pickle.UnpicklingError, yaml.YAMLError) as error:
            raise ConfigurationError(f"{type(error).__name__}: {error} ({DEBUG_VARIABLE}=1 shows where)") from error


def has_display() -> bool:
    """Whether a window can be opened, as far as the environment variables tell."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in names)


def enjoy(arguments: Sequence[str]) -> None:
    """``sb3-dpg enjoy``, given the command line after it."""
    register_algorithms()
    check_names(arguments)
    path = None
    if not asks_for_help(arguments):
        try:
            arguments, path = find_agent(arguments)
        except ConfigurationError:
            names = look_ahead(arguments)
            if names.folder or names.algo in OUR_ALGORITHMS:
                raise
            # rl-zoo3 looks for it on the hub
        if "--no-render" not in arguments and not has_display():
            raise ConfigurationError(
                "enjoy opens a window, and there is no display: give --no-render, or make a video by sb3-dpg record-video"
            )
    sys.argv[1:] = arguments
    with patched(load_from_hub=load_from_hub_or(None)), replaying(path):
        runpy.run_module("rl_zoo3.enjoy", run_name="__main__")


def offscreen_rendering() -> contextlib.AbstractContextManager[object]:
    """Without a display MuJoCo cannot draw by the library that is its default: EGL needs none."""
    chosen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"))
    return mock.patch.dict(os.environ, {"MUJOCO_GL": "egl"} if sys.platform == "linux" and not chosen else {})


def record_video(arguments: Sequence[str]) -> None:
    """``sb3-dpg record-video``, given the command line after it."""
    parser = own_parser("record-video")
    add_gym_packages(parser)
    run_on_agent("rl_zoo3.record_video", *split_options(parser, arguments), parser.format_help())


def run_on_agent(module: str, options: argparse.Namespace, rest: list[str], own_help: str) -> None:
    """Run an rl-zoo3 script that draws a trained agent."""
    register_algorithms()
    check_names(rest, options.gym_packages)
    path = None
    if not asks_for_help(rest):
        rest, path = find_agent(rest)
    sys.argv[1:] = rest
    with replaying(path, own_help), offscreen_rendering():
        runpy.run_module(module, run_name="__main__")
