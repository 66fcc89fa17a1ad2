"""SIGTERM and SIGKILL: what was written before stays whole, and work goes on from there."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sb3_dpg.cli import main
from sb3_dpg.zoo.checkpoints import checkpoints, latest_checkpoint, saved_timesteps
from tests.algorithms import CLASSES, finite
from tests.zoo.entries import tiny_entry

ENV_ID = "Pendulum-v1"
BOTH_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


class Command:
    """
    ``sb3-dpg`` in a process of its own, forked so that nothing is imported anew.

    :param folder: Its working directory
    :param arguments: Its command line
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        # A daemon: a test that fails leaves no training behind
        self.process = multiprocessing.get_context("fork").Process(target=self._run, args=(folder, arguments), daemon=True)
        self.process.start()

    @staticmethod
    def _run(folder: Path, arguments: tuple[str, ...]) -> None:
        os.chdir(folder)
        with open("output.txt", "a") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        sys.stdout = sys.__stdout__
        sys.stderr = sys.__stderr__
        sys.exit(main(arguments))

    def kill_when(self, ready: Callable[[], bool], wait: float, number: int) -> None:
        """
        :param ready: Whether it has come as far as it should
        :param wait: Seconds from then on; they only vary where in its work it is hit
        :param number: The signal
        """
        while not ready():
            assert self.process.is_alive(), "it ended before it could be killed"
            time.sleep(0.01)
        time.sleep(wait)
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        assert self.end() == -number

    def end(self) -> int | None:
        """
        :return: The exit code
        """
        self.process.join()
        return self.process.exitcode


def train(folder: Path, algo: str, steps: int, *options: str) -> Command:
    """Train with a checkpoint every ten steps: much of the time is spent in saving."""
    settings = ("--eval-freq", "-1", "--save-freq", "10", "--num-threads", "1", "-n", str(steps), "--seed", "1")
    return Command(folder, "train", "--algo", algo, "--env", ENV_ID, *settings, *options)


def last_steps(folder: Path, algo: str) -> int:
    """The steps of the last checkpoint, 0 if there is none."""
    found = [path for run in (folder / "logs" / algo).glob(f"{ENV_ID}_*") for path in checkpoints(run)]
    return max((int(path.name.split("_")[1]) for path in found), default=0)


@pytest.mark.slow
@BOTH_SIGNALS
@pytest.mark.parametrize("algo", ["bnddpg", "copdacq"])
def test_killed_while_training(algo: str, number: int, tmp_path: Path) -> None:
    """Killed at three moments of training and saving, it goes on each time from its last checkpoint to the end."""
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({ENV_ID: tiny_entry(algo)}))
    start = ["-conf", str(config)]
    reached = 0
    for wait in (0.0, 0.004, 0.013):
        command = train(tmp_path, algo, 1_000_000, *start)
        command.kill_when(lambda before=reached: last_steps(tmp_path, algo) > before, wait, number)
        agent = latest_checkpoint(tmp_path / "logs", algo, ENV_ID)
        model = CLASSES[algo].load(agent)
        assert finite(model)
        assert saved_timesteps(agent) == model.num_timesteps > reached
        reached = model.num_timesteps
        start = ["--resume"]
    assert train(tmp_path, algo, reached + 20, *start).end() == 0
    assert saved_timesteps(latest_checkpoint(tmp_path / "logs", algo, ENV_ID)) == reached + 20
    assert sum(1 for _ in (tmp_path / "logs" / algo).glob(f"{ENV_ID}_*")) == 4, "each resumed run has a folder of its own"


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["bnddpg", "copdacq"])
def test_interrupted_while_training(algo: str, tmp_path: Path) -> None:
    """Ctrl-C while it trains and saves: it ends by itself, and goes on from where it was."""
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({ENV_ID: tiny_entry(algo)}))
    command = train(tmp_path, algo, 1_000_000, "-conf", str(config))
    while last_steps(tmp_path, algo) == 0:
        assert command.process.is_alive(), "it ended before it could be interrupted"
        time.sleep(0.01)
    assert command.process.pid is not None
    os.kill(command.process.pid, signal.SIGINT)
    assert command.end() == 130
    agent = latest_checkpoint(tmp_path / "logs", algo, ENV_ID)
    reached = saved_timesteps(agent)
    assert reached == saved_timesteps(tmp_path / "logs" / algo / f"{ENV_ID}_1" / f"{ENV_ID}.zip")
    assert train(tmp_path, algo, reached + 20, "--resume").end() == 0
    assert saved_timesteps(latest_checkpoint(tmp_path / "logs", algo, ENV_ID)) == reached + 20
