"""Replaying agents: what train accepts, the scripts on trained agents understand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_dpg.zoo.cli import main
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
