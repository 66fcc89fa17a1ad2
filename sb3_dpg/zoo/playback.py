"""``sb3-dpg enjoy``, ``record-video`` and ``record-training``: rl-zoo3's scripts on trained agents."""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_dpg.zoo.algorithms import OUR_ALGORITHMS, algorithm_classes
from sb3_dpg.zoo.errors import ConfigurationError
from sb3_dpg.zoo.options import check_names, look_ahead
from sb3_dpg.zoo.registration import register_algorithms
from sb3_dpg.zoo.resume import saved_attribute
from sb3_dpg.zoo.substitution import replaced

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


def prepare(arguments: Sequence[str]) -> list[str]:
    """
    :param arguments: The command line of a script on a trained agent
    :return: The same, with the log folder
    :raises ConfigurationError: if algorithm or environment are unknown
    """
    register_for_playback()
    check_names(arguments)
    names = look_ahead(arguments)
    if names.folder is None and names.algo in OUR_ALGORITHMS:
        return [*arguments, "-f", DEFAULT_LOG_FOLDER]
    return list(arguments)


@contextmanager
def lookup_errors_in_one_line() -> Iterator[None]:
    """
    Report a run or agent that is not there by one line. rl-zoo3 asserts that the folder exists.
    """
    import rl_zoo3.utils

    original: Callable[..., Any] = rl_zoo3.utils.get_model_path

    def get_model_path(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except (AssertionError, ValueError) as error:
            raise ConfigurationError(str(error)) from error

    with ExitStack() as stack:
        stack.enter_context(replaced(rl_zoo3.utils, "get_model_path", get_model_path))
        if "rl_zoo3.enjoy" in sys.modules:
            stack.enter_context(replaced(sys.modules["rl_zoo3.enjoy"], "get_model_path", get_model_path))
        yield


def enjoy(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg enjoy``
    """
    sys.argv[1:] = prepare(arguments)
    import rl_zoo3.enjoy

    with lookup_errors_in_one_line():
        rl_zoo3.enjoy.enjoy()


def record_video(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg record-video``
    """
    sys.argv[1:] = prepare(arguments)
    with lookup_errors_in_one_line():
        runpy.run_module("rl_zoo3.record_video", run_name="__main__")


def call_our_scripts(command: Sequence[str], *args: Any, **kwargs: Any) -> int:
    """
    :param command: A command that rl-zoo3 starts: ``python -m rl_zoo3.record_video ...``, which does not know our algorithms
    :return: The exit code of the same script started by ``sb3-dpg``
    """
    if list(command[:3]) == ["python", "-m", "rl_zoo3.record_video"]:
        command = [sys.executable, "-m", "sb3_dpg", "record-video", *command[3:]]
    return subprocess.run(command, *args, **kwargs, check=False).returncode


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


def record_training(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg record-training``
    """
    sys.argv[1:] = prepare(arguments)
    with ffmpeg_on_path(), replaced(subprocess, "call", call_our_scripts):
        try:
            runpy.run_module("rl_zoo3.record_training", run_name="__main__")
        except AssertionError as error:
            raise ConfigurationError(str(error)) from error
