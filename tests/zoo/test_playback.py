"""Replaying agents: what train accepts, the scripts on trained agents understand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stable_baselines3.common.vec_env import VecNormalize

from sb3_dpg.zoo.cli import main
from sb3_dpg.zoo.resume import ResumableCheckpointCallback
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


class Stop(Exception):
    """Stands for SIGKILL."""


def test_an_agent_of_a_checkpoint_is_normalised_as_it_learned(
    write_config: WriteConfig, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: ResumableCheckpointCallback) -> None:
        if self.num_timesteps == 130:
            raise Stop

    config = write_config(tiny_entry("bnddpg", n_timesteps=200, normalize=True))
    with monkeypatch.context() as context, pytest.raises(Stop):
        context.setattr(ResumableCheckpointCallback, "_on_rollout_end", die)
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
