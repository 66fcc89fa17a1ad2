"""Ctrl-C, and how often is logged."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from sb3_dpg.cli import main
from sb3_dpg.zoo.callbacks import PacedLogCallback
from sb3_dpg.zoo.checkpoints import checkpoints, latest_checkpoint, saved_timesteps
from sb3_dpg.zoo.manager import ExperimentManager
from tests.algorithms import make
from tests.zoo.entries import tiny_entry

Capture = pytest.CaptureFixture[str]
WriteConfig = Callable[..., Path]
MakeManager = Callable[..., ExperimentManager]
INTERRUPTED_AT = 130


class PressCtrlC(BaseCallback):
    """In the middle of a step; as often as told."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.times = times
        self.steps: list[int] = []

    def _on_step(self) -> bool:
        self.steps.append(self.num_timesteps)
        if self.num_timesteps == INTERRUPTED_AT:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
                # The handler runs between two instructions of Python
                time.sleep(0.01)
        return True


def train(manager: ExperimentManager, callback: PressCtrlC) -> Any:
    """As rl-zoo3's train does."""
    experiment = manager.setup_experiment()
    assert experiment is not None
    manager.callbacks.append(callback)
    manager.learn(experiment[0])
    manager.save_trained_model(experiment[0])
    return experiment[0]


@pytest.mark.parametrize("algo", ["bnddpg", "td3", "copdacq"])
@pytest.mark.parametrize("save_freq", [-1, 50])
def test_an_interrupted_run_resumes_where_it_was_interrupted(
    write_config: WriteConfig, make_manager: MakeManager, capsys: Capture, algo: str, save_freq: int
) -> None:
    noise = {"noise_type": "ornstein-uhlenbeck", "noise_std": "lin_0.5_0.1"}
    config = write_config(tiny_entry(algo, n_timesteps=300, normalize=True, **noise))
    manager = make_manager(algo, config, save_freq=save_freq)
    first = train(manager, PressCtrlC())
    assert first.num_timesteps == INTERRUPTED_AT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    agent = latest_checkpoint(manager.log_folder, algo, "Pendulum-v1")
    output = capsys.readouterr().out
    assert f"Stopped after {INTERRUPTED_AT} of 300 steps" in output
    assert str(agent.parent) in output
    # Not --resume, which would take the newest run
    assert f"sb3-dpg train --algo {algo} --env Pendulum-v1 -f {manager.log_folder} -i {agent}\n" in output
    assert saved_timesteps(agent) == INTERRUPTED_AT
    # Resumed without another word, to the end
    resumed = make_manager(algo, None, trained_agent=str(agent))
    experiment = resumed.setup_experiment()
    assert experiment is not None
    second: Any = experiment[0]
    assert second._n_updates == first._n_updates
    assert second.replay_buffer.size() == (1 if algo == "copdacq" else INTERRUPTED_AT)
    np.testing.assert_array_equal(
        second.replay_buffer.observations[:INTERRUPTED_AT], first.replay_buffer.observations[:INTERRUPTED_AT]
    )
    trace = PressCtrlC()
    resumed.callbacks.append(trace)
    resumed.learn(second)
    assert trace.steps == list(range(INTERRUPTED_AT + 1, 301))
    assert second.action_noise.std[0] < first.action_noise.std[0]


@pytest.mark.parametrize("options", [(), ("--optimize", "--n-evaluations", "1", "--no-optim-plots")])
def test_the_exit_code_tells_of_ctrl_c(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    config = write_config(tiny_entry("bnddpg", n_timesteps=200, callback=f"{__name__}.{PressCtrlC.__name__}"))
    names = ("--algo", "bnddpg", "--env", "Pendulum-v1", "--eval-freq", "-1")
    assert main(["train", *names, "-conf", str(config), *options]) == 130
    assert ("To go on from there: sb3-dpg train" in capsys.readouterr().out) == (not options)


def test_a_second_ctrl_c_stops_at_once_and_says_that_there_is_no_checkpoint(
    write_config: WriteConfig, make_manager: MakeManager, capsys: Capture
) -> None:
    manager = make_manager("bnddpg", write_config(tiny_entry("bnddpg", n_timesteps=300)))
    train(manager, PressCtrlC(times=2))
    assert checkpoints(manager.save_path) == []
    assert "No checkpoint is written" in capsys.readouterr().out
    assert saved_timesteps(Path(manager.save_path) / "Pendulum-v1.zip") == INTERRUPTED_AT


def test_a_disk_without_room_for_a_checkpoint_may_have_some_for_the_agent(
    write_config: WriteConfig, make_manager: MakeManager, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sb3_dpg.zoo.manager.save_checkpoint", fail)
    manager = make_manager("bnddpg", write_config(tiny_entry("bnddpg", n_timesteps=300)))
    train(manager, PressCtrlC())
    assert "No checkpoint could be written: [Errno 28] No space left on device" in capsys.readouterr().out
    assert saved_timesteps(Path(manager.save_path) / "Pendulum-v1.zip") == INTERRUPTED_AT


def test_the_command_that_goes_on_is_complete(
    write_config: WriteConfig, make_manager: MakeManager, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager("copdacq", write_config(tiny_entry("copdacq", n_timesteps=300)))
    manager.args.gym_packages = ["my_task"]
    monkeypatch.setattr(manager, "log_folder", "my logs")
    train(manager, PressCtrlC())
    agent = latest_checkpoint(Path(manager.save_path).parents[1], "copdacq", "Pendulum-v1")
    assert f"-f 'my logs' -i {agent} --gym-packages my_task\n" in capsys.readouterr().out


def test_ctrl_c_is_not_for_the_processes_of_environments(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("bnddpg", n_envs=2))
    experiment = make_manager("bnddpg", config, vec_env_type="subproc").setup_experiment()
    assert experiment is not None
    env = experiment[0].get_env()
    # The terminal sends it to all of them
    for process in env.unwrapped.processes:
        os.kill(process.pid, signal.SIGINT)
    assert len(env.reset()) == 2
    env.close()


def test_another_handler_of_the_signal_stays(write_config: WriteConfig, make_manager: MakeManager) -> None:
    manager = make_manager("bnddpg", write_config(tiny_entry("bnddpg", n_timesteps=200)))
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        assert train(manager, PressCtrlC()).num_timesteps == 200
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]


def test_the_log_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("copdacq")
    dumps: list[int] = []
    monkeypatch.setattr(type(model), "dump_logs", lambda self: dumps.append(self.num_timesteps))
    now = iter(range(1_000_000))
    monkeypatch.setattr("sb3_dpg.zoo.callbacks.time.monotonic", lambda: float(next(now)))
    # One second a step: each tenth second, or each half of the training where that is later
    for fraction, expected in ((0.0, [9, 19, 29, 39, 49, 50]), (0.5, [25, 50])):
        dumps.clear()
        monkeypatch.setattr(PacedLogCallback, "fraction", fraction)
        model.learn(50, callback=PacedLogCallback(), log_interval=None)  # type: ignore[arg-type]
        assert dumps == expected


def test_a_fast_algorithm_does_not_flood_the_terminal(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    monkeypatch.setattr("sb3_dpg.zoo.callbacks.time.monotonic", lambda: 0.0)
    config = write_config(tiny_entry("copdacq", n_timesteps=400, env_kwargs={"max_episode_steps": 20}))
    command = ["train", "--algo", "copdacq", "--env", "Pendulum-v1", "-conf", str(config), "--eval-freq", "-1"]
    assert main(command) == 0
    # Of twenty episodes
    assert capsys.readouterr().out.count("total_timesteps") == 1
    assert main([*command, "--log-interval", "4"]) == 0
    assert capsys.readouterr().out.count("total_timesteps") == 5


@pytest.mark.parametrize(("changes", "expected"), [({}, True), ({"gradient_steps": -1}, False), ({"n_envs": 1}, False)])
def test_few_updates_for_several_environments_are_hinted_at(
    write_config: WriteConfig, make_manager: MakeManager, capsys: Capture, changes: dict[str, int], expected: bool
) -> None:
    entry = tiny_entry("bnddpg", **{"n_envs": 4, "gradient_steps": 1, **changes})
    make_manager("bnddpg", write_config(entry)).setup_experiment()
    hints = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Hint: gradient_steps=1 with 4 env")]
    assert len(hints) == expected
