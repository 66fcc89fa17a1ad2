"""``sb3-dpg enjoy``, ``record-video`` and ``record-training``: rl-zoo3's scripts on trained agents."""

import os
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.algorithms import OUR_ALGORITHMS, algorithm_classes
from sb3_dpg.zoo.checkpoints import resolve_trained_agent
from sb3_dpg.zoo.options import add_gym_packages, check_names, look_ahead, own_parser, split_options
from sb3_dpg.zoo.registration import register_algorithms
from sb3_dpg.zoo.saved_agents import saved_attribute
from sb3_dpg.zoo.substitution import replaced
from sb3_dpg.zoo.values import StoreDict

#: Where ``train`` writes; rl-zoo3's other scripts look for its downloaded agents by default
DEFAULT_LOG_FOLDER = "logs"


class WithoutReplayBuffer:
    """
    Loading without memory for a replay buffer; saving keeps the size that the agent was trained with.

    rl-zoo3 shrinks the replay buffer of the algorithms that it lists by name when it loads an agent to replay it: ours are
    not in its lists.
    """

    @classmethod
    def load(cls, path: str | Path, *args: Any, **kwargs: Any) -> BaseAlgorithm:
        """
        :param path: A saved agent
        :param args: Passed on to the algorithm's ``load``
        :param kwargs: Passed on
        :return: The agent
        """
        small = {"buffer_size": 1, "optimize_memory_usage": False}
        model: BaseAlgorithm = super().load(path, *args, **{**kwargs, **small})  # type: ignore[misc]
        for name in small:
            setattr(model, name, saved_attribute(path, name))
        return model


def without_replay_buffer(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """
    :param algorithm: One of our algorithms
    :return: The same algorithm under the same name, loaded without a replay buffer
    """
    return type(algorithm.__name__, (WithoutReplayBuffer, algorithm), {"__module__": algorithm.__module__})


def register_for_playback() -> None:
    """
    Register our algorithms for scripts that load agents in order to replay them.
    """
    from rl_zoo3.utils import ALGOS

    register_algorithms()
    ALGOS.update({name: without_replay_buffer(algorithm) for name, algorithm in algorithm_classes().items()})


def prepare(arguments: Sequence[str], gym_packages: Sequence[str] = ()) -> list[str]:
    """
    :param arguments: The command line of a script on a trained agent
    :param gym_packages: Modules that register environments, if they are not on it
    :return: The same, with the log folder
    :raises ConfigurationError: if algorithm or environment are unknown
    """
    register_for_playback()
    check_names(arguments, gym_packages)
    return with_log_folder(arguments)


def with_log_folder(arguments: Sequence[str]) -> list[str]:
    """
    :param arguments: The command line of a script on a trained agent
    :return: The same, with the log folder
    """
    names = look_ahead(arguments)
    if names.folder is None and names.algo in OUR_ALGORITHMS:
        return [*arguments, "-f", DEFAULT_LOG_FOLDER]
    return list(arguments)


def statistics_of(model_path: str, stats_path: str | None) -> str | None:
    """
    :param model_path: The agent that is replayed
    :param stats_path: The folder where rl-zoo3 looks for its ``VecNormalize`` statistics: the run's, written at its end
    :return: The folder of those that belong to the agent: an agent of a complete checkpoint has its own
    """
    if stats_path is None:
        return None
    own = Path(resolve_trained_agent(model_path)).parent / Path(stats_path).name
    return str(own) if (own / "vecnormalize.pkl").is_file() else stats_path


@contextmanager
def checked_lookup() -> Iterator[None]:
    """
    Inside, rl-zoo3's scripts report by one line a run or agent that is not there (rl-zoo3 asserts that the folder exists) and
    an option that cannot be read, and normalise with the statistics that belong to the agent.
    """
    import rl_zoo3.utils

    find_model, make_env = rl_zoo3.utils.get_model_path, rl_zoo3.utils.create_test_env
    read_hyperparams = rl_zoo3.utils.get_saved_hyperparams
    found: list[str] = []

    def get_model_path(*args: Any, **kwargs: Any) -> tuple[str, str, str]:
        try:
            name, model_path, log_path = find_model(*args, **kwargs)
        except (AssertionError, ValueError) as error:
            hint = " (a training that was killed has checkpoints: --load-last-checkpoint)" if "No model" in str(error) else ""
            raise ConfigurationError(f"{error}{hint}") from error
        found.append(model_path)
        return name, model_path, log_path

    def create_test_env(*args: Any, stats_path: str | None = None, **kwargs: Any) -> VecEnv:
        try:
            return make_env(*args, stats_path=statistics_of(found[-1], stats_path), **kwargs)
        except ValueError as error:
            if "VecNormalize stats" not in str(error):
                raise
            raise ConfigurationError(f"{error} (an agent of a training that was killed: --load-last-checkpoint)") from error
        except TypeError as error:
            raise ConfigurationError(f"the environment cannot be made: {error}") from error

    def get_saved_hyperparams(stats_path: str, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], str | None]:
        try:
            return read_hyperparams(stats_path, *args, **kwargs)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"the hyperparameters in {stats_path} cannot be read: {error}") from error

    changes = {
        "get_model_path": get_model_path,
        "create_test_env": create_test_env,
        "get_saved_hyperparams": get_saved_hyperparams,
        "StoreDict": StoreDict,
    }
    with ExitStack() as stack:
        for module in (rl_zoo3.utils, sys.modules.get("rl_zoo3.enjoy")):
            for name, value in changes.items() if module is not None else ():
                stack.enter_context(replaced(module, name, value))
        yield


def enjoy(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg enjoy``
    """
    sys.argv[1:] = prepare(arguments)
    import rl_zoo3.enjoy

    download = rl_zoo3.enjoy.download_from_hub

    def download_from_hub(*, algo: str, **kwargs: Any) -> None:
        try:
            download(algo=algo, **kwargs)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"no agent of {algo} in {kwargs['folder']}, where enjoy looks without -f (those of train are in logs: "
                f"-f logs), and none from the hub: {error}"
            ) from error

    with checked_lookup(), replaced(rl_zoo3.enjoy, "download_from_hub", download_from_hub):
        rl_zoo3.enjoy.enjoy()


@contextmanager
def offscreen_rendering() -> Iterator[None]:
    """
    Without a display MuJoCo cannot draw by the library that is its default: EGL needs none.
    """
    wanted = {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"}
    if sys.platform != "linux" or any(os.environ.get(name) for name in wanted):
        yield
        return
    os.environ["MUJOCO_GL"] = "egl"
    try:
        yield
    finally:
        del os.environ["MUJOCO_GL"]


def record_video(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg record-video``
    """
    parser = own_parser("record-video")
    add_gym_packages(parser)
    options, rest = split_options(parser, arguments)
    sys.argv[1:] = prepare(rest, options.gym_packages)
    with checked_lookup(), offscreen_rendering():
        runpy.run_module("rl_zoo3.record_video", run_name="__main__")


def calls_of_our_scripts(gym_packages: Sequence[str]) -> Callable[..., int]:
    """
    :param gym_packages: Modules that register environments
    :return: What takes the place of ``subprocess.call``: ``python -m rl_zoo3.record_video ...``, which does not know our
        algorithms, becomes the same script started by ``sb3-dpg``
    """

    def call(command: Sequence[str], *args: Any, **kwargs: Any) -> int:
        if list(command[:3]) == ["python", "-m", "rl_zoo3.record_video"]:
            command = [sys.executable, "-m", "sb3_dpg", "record-video", *command[3:]]
            command += ["--gym-packages", *gym_packages] if gym_packages else []
        return subprocess.run(command, *args, **kwargs, check=False).returncode

    return call


@contextmanager
def ffmpeg_on_path() -> Iterator[None]:
    """
    rl-zoo3 joins videos with the program ffmpeg: where there is none, moviepy's own serves.
    """
    if shutil.which("ffmpeg") is not None:
        yield
        return
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path


def with_video_folder(arguments: Sequence[str]) -> list[str]:
    """
    rl-zoo3 joins videos by commands of a shell, quotes no path in them, and lists the videos for ffmpeg, which reads relative
    paths from the folder of the list.

    :param arguments: The command line of ``record-training``
    :return: The same, with an absolute folder for the videos if it names one
    :raises ConfigurationError: if the shell would split or expand the folder of the videos
    """
    parser = own_parser("")
    parser.add_argument("-o", "--output-folder")
    output = parser.parse_known_args(arguments)[0].output_folder
    folder = os.path.abspath(output or look_ahead(arguments).folder or ".")
    if shlex.quote(folder) != folder:
        raise ConfigurationError(f"record-training cannot join videos in {folder!r}: give a folder without spaces by -o")
    return [*arguments, "-o", folder] if output else list(arguments)


def record_training(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg record-training``
    """
    parser = own_parser("record-training")
    add_gym_packages(parser)
    options, rest = split_options(parser, arguments)
    sys.argv[1:] = with_video_folder(prepare(rest, options.gym_packages))
    with ffmpeg_on_path(), replaced(subprocess, "call", calls_of_our_scripts(options.gym_packages)):
        try:
            runpy.run_module("rl_zoo3.record_training", run_name="__main__")
        except AssertionError as error:
            raise ConfigurationError(str(error)) from error
