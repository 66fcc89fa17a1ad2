"""Replaying agents: what train accepts, the scripts on trained agents understand."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import gymnasium as gym
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from stable_baselines3.common.vec_env import VecNormalize

from sb3_dpg.cli import main
from sb3_dpg.zoo.checkpoints import ResumableCheckpointCallback
from sb3_dpg.zoo.playback import offscreen_rendering
from sb3_dpg.zoo.saved_agents import saved_timesteps
from tests.zoo.entries import tiny_entry

Capture = pytest.CaptureFixture[str]
WriteConfig = Callable[..., Path]
AGENT = ("--algo", "bnddpg", "--env", "Pendulum-v1")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])


def train(config: Path, *options: str) -> None:
    assert main(["train", *AGENT, "-conf", str(config), "--verbose", "0", "--eval-freq", "-1", *options]) == 0


def test_empty_keys_are_no_keys(write_config: WriteConfig) -> None:
    empty = dict.fromkeys(("frame_stack", "vec_env_wrapper", "env_wrapper", "callback", "replay_buffer_class"))
    train(write_config(tiny_entry("bnddpg", n_timesteps=40, **empty)))
    assert main(["enjoy", *AGENT, "--no-render", "-n", "5"]) == 0


def test_an_option_that_cannot_be_read_gets_one_line(write_config: WriteConfig, capsys: Capture) -> None:
    train(write_config(tiny_entry("bnddpg", n_timesteps=40)))
    capsys.readouterr()
    for command in (["enjoy"], ["record-video"], ["push-to-hub", "-orga", "x", "--no-upload"]):
        assert main([*command, *AGENT, "--env-kwargs", "g=5"]) == 1
        assert "--env-kwargs g=5: not of the form KEY:VALUE" in capsys.readouterr().err
        assert main([*command, *AGENT, "--env-kwargs", "foo:5"]) == 1
        assert "the environment cannot be made: " in capsys.readouterr().err


class Stop(Exception):
    """Stands for SIGKILL."""


def test_an_agent_of_a_checkpoint_is_normalised_as_it_learned(
    write_config: WriteConfig, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: ResumableCheckpointCallback) -> None:
        if self.num_timesteps == 130:
            raise Stop

    config = write_config(tiny_entry("bnddpg", n_timesteps=200, normalize=True))
    with monkeypatch.context() as context:
        context.setattr(ResumableCheckpointCallback, "_on_rollout_end", die)
        with pytest.raises(Stop):
            train(config, "--save-freq", "60")
    loaded: list[str] = []
    load = VecNormalize.load
    monkeypatch.setattr(VecNormalize, "load", staticmethod(lambda path, env: loaded.append(path) or load(path, env)))
    # The killed run has no statistics but those of its checkpoint
    for command in (["enjoy", "--no-render"], ["record-video"]):
        assert main([*command, *AGENT, "-n", "5", "--load-last-checkpoint"]) == 0
    assert loaded == ["logs/bnddpg/Pendulum-v1_1/checkpoint_120_steps/Pendulum-v1/vecnormalize.pkl"] * 2
    capsys.readouterr()
    for options, expected in (([], "No model found"), (["--load-checkpoint", "60"], "VecNormalize stats")):
        assert main(["enjoy", *AGENT, "--no-render", *options]) == 1
        assert expected in (error := capsys.readouterr().err)
        assert "--load-last-checkpoint" in error
    train(config, "--save-freq", "120")
    assert main(["enjoy", *AGENT, "-n", "5", "--no-render"]) == 0
    assert loaded[-1] == "logs/bnddpg/Pendulum-v1_2/Pendulum-v1/vecnormalize.pkl"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the current directory that registers an environment, as the process finds it that begins there."""
    name, env_id = "pendulums_of_a_test", "pendulums/Short-v0"
    entry_point = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
    (tmp_path / f"{name}.py").write_text(
        f"import gymnasium\ngymnasium.register({env_id!r}, entry_point={entry_point!r}, max_episode_steps=20)\n"
    )
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    yield name
    sys.modules.pop(name, None)
    gym.registry.pop(env_id, None)


def test_every_command_knows_the_environments_of_a_package(
    package: str, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ("--algo", "bnddpg", "--env", "pendulums/Short-v0")

    def run(command: str, *options: str) -> None:
        # Each in a process of its own
        sys.modules.pop(package, None)
        gym.registry.pop("pendulums/Short-v0", None)
        assert main([command, *names, *options]) == 0

    with_package = ("--gym-packages", package)
    config = write_config(tiny_entry("bnddpg", n_timesteps=40), env_id="pendulums/Short-v0")
    run("train", *with_package, "-conf", str(config), "--verbose", "0", "--eval-freq", "20", "--eval-episodes", "2")
    run("enjoy", *with_package, "--no-render", "-n", "5")
    run("record-video", *with_package, "-n", "5")
    run("push-to-hub", *with_package, "-orga", "x", "--no-upload", "--no-render")
    # Nothing is made of it, the environment need not be there
    run("load-from-hub", "-f", "copies", "--repository", "hub/bnddpg-pendulums-Short-v0")
    assert saved_timesteps(tmp_path / "copies/bnddpg/pendulums-Short-v0_1/pendulums-Short-v0.zip") == 40
    started: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **kwargs: started.append(command) or CompletedProcess(command, 1))
    with pytest.raises(AssertionError):
        run("record-training", *with_package, "-o", "videos")
    # Absolute: ffmpeg reads the list of the videos from within their folder
    assert started[0][started[0].index("-o") + 1] == str(tmp_path / "videos")
    assert started[0][-2:] == ["--gym-packages", package]
    assert started[0][1:4] == ["-m", "sb3_dpg", "record-video"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "egl"), ({"DISPLAY": ":0"}, None), ({"WAYLAND_DISPLAY": "w"}, None), ({"MUJOCO_GL": "osmesa"}, "osmesa")],
)
@pytest.mark.skipif(sys.platform != "linux", reason="Linux only has such libraries")
def test_mujoco_draws_without_a_display(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str | None) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with offscreen_rendering():
        assert os.environ.get("MUJOCO_GL") == expected
    assert os.environ.get("MUJOCO_GL") == given.get("MUJOCO_GL")


@pytest.mark.parametrize("error", [ValueError("loaded using pickle"), OSError("no network")])
def test_agents_are_looked_for_where_enjoy_is_told_to(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception
) -> None:
    def download(**kwargs: object) -> None:
        raise error

    monkeypatch.setattr("rl_zoo3.enjoy.download_from_hub", download)
    assert main(["enjoy", "--algo", "td3", "--env", "Pendulum-v1"]) == 1
    expected = f"no agent of td3 in rl-trained-agents, where enjoy looks without -f .*-f logs.*{error}"
    assert re.search(expected, capsys.readouterr().err)


def test_hyperparameters_of_an_agent_that_cannot_be_read(write_config: WriteConfig, capsys: Capture) -> None:
    train(write_config(tiny_entry("bnddpg")))
    Path("logs/bnddpg/Pendulum-v1_1/Pendulum-v1/config.yml").write_text("!!python/name:builtins.Wrapper ''")
    assert main(["enjoy", *AGENT, "--no-render"]) == 1
    assert "the hyperparameters in logs/bnddpg/Pendulum-v1_1/Pendulum-v1 cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("no network"), OSError("no such repository")])
def test_what_the_hub_does_not_give_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception) -> None:
    """Not found for want of a network is not "no normalisation", either."""

    def download(repo_id: str, filename: str) -> str:
        if filename == "vec_normalize.pkl":
            raise error
        return filename

    monkeypatch.setattr("huggingface_sb3.load_from_hub", download)
    assert main(["load-from-hub", *AGENT, "-orga", "x"]) == 1
    expected = f"sb3-dpg load-from-hub: error: x/bnddpg-Pendulum-v1: cannot get vec_normalize.pkl ({error})"
    assert capsys.readouterr().err.strip() == expected
