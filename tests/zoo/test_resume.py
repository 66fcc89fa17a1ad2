"""Checkpoints and continuing: nothing is lost, nothing jumps."""

import argparse
import math
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from rl_zoo3.utils import StoreDict
from stable_baselines3 import TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import set_random_seed

from sb3_dpg import BNDDPG
from sb3_dpg.cli import main
from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.noise import OrnsteinUhlenbeckNoise
from sb3_dpg.zoo.checkpoints import (
    check_saved_algorithm,
    checkpoints,
    latest_checkpoint,
    resolve_trained_agent,
    saved_timesteps,
    write_run_config,
)
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.resume import continue_evaluations, earlier_options, prepare_replay_buffer, resumed_seed
from tests.zoo.entries import tiny_entry

WriteConfig = Callable[..., Path]
MakeManager = Callable[..., ExperimentManager]
SCHEDULED = {
    "learning_rate": "lin_0.01_0.001",
    "noise_type": "ornstein-uhlenbeck",
    "noise_std": "lin_0.5_0.1",
    "normalize": True,
}
TOTAL = 400


class Killed(Exception):
    """Stands for SIGKILL: nothing of ours catches it."""


class Trace(BaseCallback):
    """Write down the scheduled values at each step, and die when told to."""

    def __init__(self, kill_at: int | None = None) -> None:
        super().__init__()
        self.kill_at = kill_at
        self.values: dict[int, tuple[float, float]] = {}

    def _on_step(self) -> bool:
        model = self.model
        noise: Any = model.action_noise
        progress = model._current_progress_remaining
        self.values[self.num_timesteps] = (model.lr_schedule(progress), float(noise.std[0]))
        if self.num_timesteps == self.kill_at:
            raise Killed
        return True


class Stop(BaseCallback):
    """Die between two rollouts, after all that the other callbacks do there."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps == self.at:
            raise Killed


def train(manager: ExperimentManager, kill_at: int | None = None) -> tuple[Any, Trace]:
    """Run an experiment as rl-zoo3's train does."""
    result = manager.setup_experiment()
    assert result is not None
    trace = Trace(kill_at)
    manager.callbacks.append(trace)
    manager.learn(result[0])
    manager.save_trained_model(result[0])
    return result[0], trace


def killed_run(make_manager: MakeManager, config: Path, algo: str, save_freq: int = 100, kill_at: int = 230) -> Path:
    """The folder that a training killed at a step leaves."""
    manager = make_manager(algo, config, save_freq=save_freq)
    with pytest.raises(Killed):
        train(manager, kill_at)
    return Path(manager.save_path)


def folder_of(manager: ExperimentManager) -> Path:
    return Path(manager.save_path)


@pytest.mark.parametrize("algo", ["bnddpg", pytest.param("td3", marks=pytest.mark.slow), "copdacq"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(write_config: WriteConfig, make_manager: MakeManager, algo: str) -> None:
    config = write_config(tiny_entry(algo, n_timesteps=TOTAL, **SCHEDULED))
    _, unbroken = train(make_manager(algo, config))
    run = killed_run(make_manager, config, algo)
    agent = latest_checkpoint(run.parents[1], algo, "Pendulum-v1")
    assert saved_timesteps(agent) == 200
    model, resumed = train(make_manager(algo, None, trained_agent=str(agent)))
    # Steps are counted on, and both schedules have the values that they have in the unbroken run
    assert sorted(resumed.values) == list(range(201, TOTAL + 1))
    for step, values in resumed.values.items():
        np.testing.assert_allclose(values, unbroken.values[step], rtol=1e-6, err_msg=f"step {step}")
    assert model.num_timesteps == TOTAL
    # Of the replay buffer nothing is lost but the steps after the checkpoint; copdacq's has the newest transition only
    assert model.replay_buffer.size() == (1 if algo == "copdacq" else TOTAL)
    assert model.get_vec_normalize_env().obs_rms.count == pytest.approx(TOTAL, abs=5)


def begin_episode(model: BaseAlgorithm) -> None:
    """Let two trainings go on with the same random numbers, in a new episode."""
    set_random_seed(7)
    model.action_space.seed(7)
    assert model.env is not None
    model.env.seed(7)
    # Read by learn: None has the environment reset
    model._last_obs = None


def state_of(model: Any) -> dict[str, Any]:
    """All that the further training depends on, as arrays, by name."""
    state: dict[str, Any] = {"num_timesteps": model.num_timesteps, "n_updates": model._n_updates}
    for part, values in model.get_parameters().items():
        leaves, _ = th.utils._pytree.tree_flatten_with_path(values)
        state.update({f"{part}{th.utils._pytree.keystr(path)}": np.asarray(leaf) for path, leaf in leaves if leaf is not None})
    for name in ("pos", "full", "observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        state[f"replay buffer: {name}"] = getattr(model.replay_buffer, name)
    normalize = model.get_vec_normalize_env()
    for name in ("obs_rms", "ret_rms"):
        state.update({f"{name}.{key}": value for key, value in vars(getattr(normalize, name)).items()})
    return state


def assert_same_state(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(right[name], value, err_msg=name)


FAMILY = {
    # Each with state of its own that must survive: phase of the delay, target networks, running statistics, noise
    "bnddpg": {"train_freq": 1, "policy_delay": 3, "target_policy_noise": 0.2, "actor_learning_rate": "lin_0.005_0.001"},
    "td3": {"train_freq": 1, "policy_delay": 3},
    "copdacq": {"gradient_q": True, "actor_learning_rate": "lin_0.05_0.01"},
}


@pytest.mark.parametrize("algo", ["bnddpg", pytest.param("td3", marks=pytest.mark.slow), "copdacq"])
def test_a_resumed_training_is_the_unbroken_one_but_for_a_new_episode(
    write_config: WriteConfig, make_manager: MakeManager, algo: str
) -> None:
    config = write_config(tiny_entry(algo, n_timesteps=200, **SCHEDULED, **FAMILY[algo]))
    manager = make_manager(algo, config, save_freq=50)
    experiment = manager.setup_experiment()
    assert experiment is not None
    unbroken = experiment[0]
    with pytest.raises(Killed):
        # Not by manager.learn, which closes the environment
        unbroken.learn(200, callback=[*manager.callbacks, Stop(100)])
    agent = checkpoints(folder_of(manager))[-1] / "Pendulum-v1.zip"
    assert saved_timesteps(agent) == 100
    manager = make_manager(algo, None, trained_agent=str(agent))
    experiment = manager.setup_experiment()
    assert experiment is not None
    resumed = experiment[0]

    prepare_replay_buffer(unbroken, str(agent), carries_on=True)
    assert_same_state(state_of(unbroken), state_of(resumed))
    begin_episode(unbroken)
    unbroken.learn(100, callback=ActionNoiseCallback(None), reset_num_timesteps=False)
    begin_episode(resumed)
    manager.learn(resumed)
    assert_same_state(state_of(unbroken), state_of(resumed))


def test_a_resumed_run_stays_in_its_environment(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    config = write_config(tiny_entry("bnddpg", n_timesteps=100))
    command = ("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--verbose", "0", "--device", "cpu")
    given = ("--env-kwargs", "g:5.0", "--eval-env-kwargs", "g:4.0", "--eval-freq", "60", "--eval-episodes", "1")
    assert main([*command, "-conf", str(config), "--save-freq", "100", *given]) == 0
    managers: list[ExperimentManager] = []
    monkeypatch.setattr(ExperimentManager, "learn", lambda self, model: managers.append(self))
    # The options carry on from a resumed run, too; one given anew counts
    for resume in (["--resume"], ["-i", "logs/bnddpg/Pendulum-v1_2/Pendulum-v1.zip", "--eval-freq", "70"]):
        assert main([*command, *resume, "-n", "200"]) == 0
        evaluation = next(callback for callback in managers[-1].callbacks if isinstance(callback, EvalCallback))
        assert evaluation.eval_env.get_attr("g") == [4.0]
        assert evaluation.n_eval_episodes == 1
        assert managers[-1].env_kwargs == {"g": 5.0}
    assert [manager.eval_freq for manager in managers] == [60, 70]


@pytest.mark.parametrize("algo", ["bnddpg", "td3"])
def test_the_entrys_env_kwargs_hold_wherever_the_agent_acts(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    config = write_config(tiny_entry(algo, n_timesteps=100, env_kwargs={"g": 5.0}))
    gravity: list[float] = []
    evaluate = EvalCallback._on_step

    def on_step(self: EvalCallback) -> bool:
        gravity.extend(self.eval_env.get_attr("g"))
        return evaluate(self)

    monkeypatch.setattr(EvalCallback, "_on_step", on_step)
    command = ("train", "--algo", algo, "--env", "Pendulum-v1", "--verbose", "0", "--device", "cpu")
    assert main([*command, "-conf", str(config), "--eval-freq", "100", "--eval-episodes", "1", "--save-freq", "100"]) == 0
    assert set(gravity) == {5.0}
    # Read by record-video and push-to-hub
    args = yaml.load((tmp_path / f"logs/{algo}/Pendulum-v1_1/Pendulum-v1/args.yml").read_text(), Loader=yaml.UnsafeLoader)
    assert args["env_kwargs"] == {"g": 5.0}
    # Given anew, the entry's are no option that comes before them
    assert main([*command, "--resume", "-n", "200", "-params", "env_kwargs:dict(g=7.0)"]) == 0
    assert set(gravity) == {5.0, 7.0}


def test_of_another_file_the_environments_settings_are_used(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    command = ("train", "--algo", "td3", "--env", "Pendulum-v1", "--verbose", "0", "--device", "cpu", "--eval-freq", "-1")
    entry = tiny_entry("td3", n_timesteps=100, env_kwargs={"g": 5.0}, **SCHEDULED)
    assert main([*command, "-conf", str(write_config(entry)), "--save-freq", "100"]) == 0
    other = tiny_entry("td3", n_timesteps=200, learning_rate=0.9, env_kwargs={"g": 9.0}, normalize=True)
    assert main([*command, "-conf", str(write_config(other)), "--resume"]) == 0
    run = tmp_path / "logs/td3/Pendulum-v1_2"
    settings = dict(yaml.load((run / "Pendulum-v1/config.yml").read_text(), Loader=yaml.UnsafeLoader))
    assert settings["env_kwargs"] == {"g": 9.0}
    assert settings["noise_std"] == SCHEDULED["noise_std"], "what the agent has"
    assert settings["learning_rate"] == entry["learning_rate"]
    assert saved_timesteps(run / "Pendulum-v1.zip") == 200


def test_options_of_the_run_that_is_continued(tmp_path: Path) -> None:
    agent = tmp_path / "Pendulum-v1.zip"
    assert earlier_options(agent, "Pendulum-v1", []) == []
    path = tmp_path / "Pendulum-v1/args.yml"
    path.parent.mkdir()
    path.write_text(yaml.dump(OrderedDict(env_kwargs={"g": 5.0, "mode": "a b"}, eval_env_kwargs=None, eval_freq=-1, n_jobs=3)))
    assert earlier_options(agent, "Pendulum-v1", []) == ["--env-kwargs", "g:5.0", "mode:'a b'", "--eval-freq=-1"]
    for given in (["--env-kwargs", "g:3.0"], ["-conf", "my.yml"], ["--conf-file=my.yml"]):
        assert earlier_options(agent, "Pendulum-v1", given) == ["--eval-freq=-1"]
    assert earlier_options(agent, "Pendulum-v1", ["--env-kwargs", "g:3.0", "--eval-freq=60"]) == []
    # What has no literal: Hopper-v5's own default is one
    limits = {"healthy_z_range": (0.7, math.inf), "dtype": float}
    path.write_text(yaml.dump(dict(env_kwargs=limits)))
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-kwargs", nargs="+", action=StoreDict)
    assert parser.parse_args(earlier_options(agent, "Pendulum-v1", [])).env_kwargs == limits
    path.write_text("[unclosed")
    with pytest.raises(ConfigurationError, match=r"args\.yml: not the arguments of a run"):
        earlier_options(agent, "Pendulum-v1", [])


def test_the_path_of_the_noise_goes_on(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("bnddpg", n_timesteps=TOTAL, **SCHEDULED))
    run = killed_run(make_manager, config, "bnddpg")
    manager = make_manager("bnddpg", None, trained_agent=str(checkpoints(run)[-1] / "Pendulum-v1.zip"))
    result = manager.setup_experiment()
    assert result is not None
    noise = result[0].action_noise
    assert isinstance(noise, OrnsteinUhlenbeckNoise)
    # Not the beginning of the schedule, nor of the path
    assert noise.std[0] < OrnsteinUhlenbeckNoise([0.0], sigma=0.35).std[0]
    fresh = make_manager("bnddpg", config, trained_agent=str(manager.trained_agent), restart=True)
    restarted = fresh.setup_experiment()
    assert restarted is not None
    np.testing.assert_allclose(restarted[0].action_noise.std, OrnsteinUhlenbeckNoise([0.0], sigma=0.5).std)


def test_restarting_counts_from_the_beginning(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("bnddpg", n_timesteps=TOTAL, **SCHEDULED))
    run = killed_run(make_manager, config, "bnddpg")
    agent = str(checkpoints(run)[-1] / "Pendulum-v1.zip")
    manager = make_manager("bnddpg", config, trained_agent=agent, n_timesteps=100, restart=True)
    _, trace = train(manager)
    assert sorted(trace.values) == list(range(1, 101))
    assert trace.values[1][0] == pytest.approx(0.01)


def test_the_command_line_overrides_the_saved_agent(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("bnddpg", n_timesteps=TOTAL))
    run = killed_run(make_manager, config, "bnddpg")
    given = {"tau": 0.5, "noise_std": 0.7}
    manager = make_manager("bnddpg", None, trained_agent=str(checkpoints(run)[-1] / "Pendulum-v1.zip"), hyperparams=given)
    result = manager.setup_experiment()
    assert result is not None
    assert result[0].tau == 0.5
    np.testing.assert_allclose(result[0].action_noise.std, [0.7])
    assert result[0].batch_size == 8


@pytest.mark.parametrize(
    ("save_freq", "eval_freq", "n_envs"),
    # The checkpoint is of step 200, 150 and 160: at an evaluation, and twice between two
    [(100, 50, 1), (150, 100, 1), (160, 100, 2)],
)
def test_evaluations_go_on(
    write_config: WriteConfig, make_manager: MakeManager, save_freq: int, eval_freq: int, n_envs: int
) -> None:
    entry = tiny_entry("bnddpg", n_timesteps=TOTAL, n_envs=n_envs, env_kwargs={"max_episode_steps": 20})
    config = write_config(entry)
    manager = make_manager("bnddpg", config, save_freq=save_freq, eval_freq=eval_freq, n_eval_episodes=1)
    with pytest.raises(Killed):
        train(manager, 230)
    agent = checkpoints(folder_of(manager))[-1] / "Pendulum-v1.zip"
    resumed = make_manager("bnddpg", None, trained_agent=str(agent), eval_freq=eval_freq, n_eval_episodes=1)
    train(resumed)
    with np.load(folder_of(resumed) / "evaluations.npz") as log:
        assert log["timesteps"].tolist() == list(range(eval_freq, TOTAL + 1, eval_freq))
        assert log["results"].shape == (TOTAL // eval_freq, 1)


def write_evaluations(run: Path, timesteps: list[int], results: list[float]) -> None:
    """Evaluations of one episode each."""
    columns = np.array(results)[:, None]
    np.savez(run / "evaluations.npz", timesteps=timesteps, results=columns, ep_lengths=np.ones_like(columns))


def test_evaluations_after_the_agent_are_left_behind(
    write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path
) -> None:
    run = killed_run(make_manager, write_config(tiny_entry("bnddpg")), "bnddpg", save_freq=50)
    write_evaluations(run, [50, 100, 150, 200], [-9.0, -8.0, -7.0, -6.0])
    (tmp_path / "new/Pendulum-v1").mkdir(parents=True)
    # Of the agent's VecNormalize, without which it cannot be replayed
    (run / "Pendulum-v1/vecnormalize.pkl").write_bytes(b"statistics")

    def continued(agent: str) -> EvalCallback:
        env = Monitor(gym.make("Pendulum-v1"))
        callback = EvalCallback(
            env, n_eval_episodes=1, log_path=str(tmp_path / "new"), best_model_save_path=str(tmp_path / "new")
        )
        continue_evaluations(callback, str(run / agent), "Pendulum-v1", n_envs=1)
        return callback

    shutil.copy(run / "rl_model_150_steps.zip", run / "best_model.zip")
    callback = continued("best_model.zip")
    assert (callback.n_calls, callback.evaluations_timesteps) == (150, [50, 100, 150])
    assert callback.evaluations_results == [[-9.0], [-8.0], [-7.0]]
    with np.load(tmp_path / "new/evaluations.npz") as log:
        assert log["timesteps"].tolist() == [50, 100, 150], "for a checkpoint before the next evaluation"
        assert log["results"].tolist() == [[-9.0], [-8.0], [-7.0]]
    assert callback.best_mean_reward == -7.0
    assert saved_timesteps(tmp_path / "new/best_model.zip") == 150
    assert (tmp_path / "new/Pendulum-v1/vecnormalize.pkl").read_bytes() == b"statistics"
    # The best agent was found later: nothing is known of the best until then
    (tmp_path / "new/best_model.zip").unlink()
    callback = continued("rl_model_100_steps.zip")
    assert callback.evaluations_timesteps == [50, 100]
    assert callback.best_mean_reward == -np.inf
    assert not (tmp_path / "new/best_model.zip").exists()


def test_one_complete_checkpoint_is_kept(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("bnddpg", n_timesteps=TOTAL, normalize=True))
    run = killed_run(make_manager, config, "bnddpg", save_freq=50)
    assert [path.name for path in checkpoints(run)] == ["checkpoint_200_steps"]
    files = {str(path.relative_to(checkpoints(run)[0])) for path in checkpoints(run)[0].rglob("*") if path.is_file()}
    assert files >= {"Pendulum-v1.zip", "replay_buffer.pkl", "hyperparams.yml", "Pendulum-v1/vecnormalize.pkl"}
    # ... beside the agents that rl-zoo3 keeps
    assert sorted(path.name for path in run.glob("rl_model_*")) == [f"rl_model_{n}_steps.zip" for n in (100, 150, 200, 50)]


def test_the_entrys_own_checkpoint_callback_is_left_alone(
    write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path
) -> None:
    settings = {"save_freq": 150, "save_path": str(tmp_path / "mine"), "name_prefix": "agent"}
    callback = {"stable_baselines3.common.callbacks.CheckpointCallback": settings}
    manager = make_manager("bnddpg", write_config(tiny_entry("bnddpg", n_timesteps=200, callback=[callback])), save_freq=100)
    train(manager)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["agent_150_steps.zip"]
    assert [path.name for path in checkpoints(manager.save_path)] == ["checkpoint_200_steps"]


@pytest.mark.parametrize(("options", "saved"), [((), [100, 150]), (("--save-freq", "75"), [125]), (("--save-freq", "-1"), [])])
def test_a_resumed_run_saves_as_often_as_the_one_before(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], saved: list[int]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    command = ("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--verbose", "0", "--device", "cpu", "--eval-freq", "-1")
    config = write_config(tiny_entry("bnddpg", n_timesteps=50))
    assert main([*command, "-conf", str(config), "--save-freq", "50"]) == 0
    assert main([*command, "--resume", "-n", "150", *options]) == 0
    agents = Path("logs/bnddpg/Pendulum-v1_2").glob("rl_model_*_steps.zip")
    assert sorted(int(agent.stem.split("_")[2]) for agent in agents) == saved


def test_death_while_saving_leaves_the_previous_checkpoint(
    write_config: WriteConfig, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = BNDDPG.save_replay_buffer

    def die(self: BNDDPG, path: Path) -> None:
        if self.num_timesteps == 200:
            raise Killed
        save(self, path)

    monkeypatch.setattr(BNDDPG, "save_replay_buffer", die)
    run = killed_run(make_manager, write_config(tiny_entry("bnddpg")), "bnddpg")
    assert [path.name for path in checkpoints(run)] == ["checkpoint_100_steps"]
    assert saved_timesteps(latest_checkpoint(run.parents[1], "bnddpg", "Pendulum-v1")) == 100


def test_the_latest_run_with_a_checkpoint_is_found(tmp_path: Path) -> None:
    for run, steps in ((2, 900), (10, 300), (9, 500)):
        (tmp_path / f"bnddpg/Pendulum-v1_{run}/checkpoint_{steps}_steps").mkdir(parents=True)
    (tmp_path / "bnddpg/Pendulum-v1_10/checkpoint_1000_steps").mkdir()
    (tmp_path / "bnddpg/Pendulum-v1_11").mkdir()
    (tmp_path / "bnddpg/Pendulum-v1_12/.checkpoint_50_steps.partial").mkdir(parents=True)
    found = latest_checkpoint(tmp_path, "bnddpg", "Pendulum-v1")
    assert found == tmp_path / "bnddpg/Pendulum-v1_10/checkpoint_1000_steps/Pendulum-v1.zip"
    with pytest.raises(ConfigurationError, match="no checkpoint of bnddpg on Hopper-v5"):
        latest_checkpoint(tmp_path, "bnddpg", "Hopper-v5")


def test_of_runs_with_a_uuid_the_one_that_saved_last_is_found(tmp_path: Path) -> None:
    # rl-zoo3 counts none of them: all have the same number
    for uuid, time in (("f0e1", 100), ("0a1b", 300), ("c4d5", 200)):
        checkpoint = tmp_path / f"bnddpg/Pendulum-v1_1_{uuid}7d3a-5a4e-4c5e-9d53-2f0ff0c2a1b4/checkpoint_{time}_steps"
        checkpoint.mkdir(parents=True)
        os.utime(checkpoint, (time, time))
    assert latest_checkpoint(tmp_path, "bnddpg", "Pendulum-v1").parent.name == "checkpoint_300_steps"


@pytest.mark.parametrize("run", ["Pendulum-v1_1", "Pendulum-v1_1_f0e17d3a-5a4e-4c5e-9d53-2f0ff0c2a1b4"])
def test_rl_zoo3s_name_of_a_checkpoint_means_the_complete_one(tmp_path: Path, run: str) -> None:
    complete = tmp_path / run / "checkpoint_50_steps/Pendulum-v1.zip"
    complete.parent.mkdir(parents=True)
    for path in (complete, complete.with_name("best_model.zip")):
        path.touch()
    assert resolve_trained_agent(str(tmp_path / run / "rl_model_50_steps.zip")) == str(complete)
    for other in ("rl_model_60_steps.zip", "Pendulum-v1.zip"):
        path = tmp_path / run / other
        assert resolve_trained_agent(str(path)) == str(path)


@pytest.mark.parametrize("save_freq", [100, 60])
def test_a_finished_training_says_so(write_config: WriteConfig, make_manager: MakeManager, save_freq: int) -> None:
    config = write_config(tiny_entry("bnddpg", n_timesteps=100))
    manager = make_manager("bnddpg", config, save_freq=save_freq)
    train(manager)
    agent = folder_of(manager) / "checkpoint_100_steps" / "Pendulum-v1.zip"
    with pytest.raises(ConfigurationError, match="trained for 100 steps already"):
        make_manager("bnddpg", None, trained_agent=str(agent)).setup_experiment()


def test_hyperparameters_with_classes_are_carried_on(write_config: WriteConfig, make_manager: MakeManager) -> None:
    """As ``-params "policy_kwargs:dict(activation_fn=nn.Tanh)"`` has them."""
    config = write_config(tiny_entry("bnddpg", n_timesteps=TOTAL, normalize=True))
    given = {"policy_kwargs": {"net_arch": [8], "activation_fn": th.nn.Tanh}, "train_freq": (2, "step")}
    manager = make_manager("bnddpg", config, save_freq=100, hyperparams=given)
    with pytest.raises(Killed):
        train(manager, 230)
    manager = make_manager("bnddpg", None, trained_agent=str(checkpoints(manager.save_path)[-1] / "Pendulum-v1.zip"))
    result = manager.setup_experiment()
    assert result is not None
    assert manager.n_timesteps == TOTAL
    assert result[1]["policy_kwargs"] == given["policy_kwargs"]
    assert result[0].get_vec_normalize_env() is not None


@pytest.mark.parametrize("restart", [False, True])
def test_another_number_of_environments_is_told(write_config: WriteConfig, make_manager: MakeManager, restart: bool) -> None:
    config = write_config(tiny_entry("bnddpg"))
    agent = checkpoints(killed_run(make_manager, config, "bnddpg"))[-1] / "Pendulum-v1.zip"
    more = {"trained_agent": str(agent), "hyperparams": {"n_envs": 2}, "restart": restart}
    with pytest.raises(ConfigurationError, match=r"filled by 1 environment\(s\) and cannot be by 2: give -params n_envs:1"):
        make_manager("bnddpg", config, **more).setup_experiment()
    (agent.parent / "replay_buffer.pkl").unlink()
    train(make_manager("bnddpg", config, **more))


def test_the_networks_of_a_saved_agent_stay_and_so_does_what_is_said_of_them(
    write_config: WriteConfig, make_manager: MakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tiny_entry("bnddpg"))
    agent = checkpoints(killed_run(make_manager, config, "bnddpg"))[-1] / "Pendulum-v1.zip"
    given = {"policy_kwargs": {"net_arch": [16]}, "batch_norm": False, "tau": 0.5}
    for restart in (False, True):
        manager = make_manager(
            "bnddpg", None if not restart else config, trained_agent=str(agent), hyperparams=given, restart=restart
        )
        result = manager.setup_experiment()
        assert result is not None
        assert "Not used: batch_norm, policy_kwargs of --hyperparams" in capsys.readouterr().out
        saved = yaml.safe_load((folder_of(manager) / "hyperparams.yml").read_text())["Pendulum-v1"]
        assert (saved["policy_kwargs"], saved["tau"], "batch_norm" in saved) == ({"net_arch": [8]}, 0.5, False)


def test_what_a_saved_agent_decides_is_not_ignored_in_silence(
    write_config: WriteConfig, make_manager: MakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tiny_entry("bnddpg"))
    agent = checkpoints(killed_run(make_manager, config, "bnddpg"))[-1] / "Pendulum-v1.zip"
    with pytest.raises(ConfigurationError, match=r"^--trial-id is for a new training"):
        make_manager("bnddpg", None, trained_agent=str(agent), trial_id=0)
    make_manager("bnddpg", config, trained_agent=str(agent)).setup_experiment()
    assert f"Of {config} the environment's settings alone are used" in capsys.readouterr().out
    make_manager("bnddpg", None, trained_agent=str(agent), hyperparams={"buffer_size": 77}).setup_experiment()
    assert "Not used: buffer_size=77, the replay buffer beside" in capsys.readouterr().out


def test_ars_cannot_go_on(make_manager: MakeManager, tmp_path: Path) -> None:
    agent = tmp_path / "Pendulum-v1.zip"
    agent.touch()
    with pytest.raises(ConfigurationError, match=r"of ars cannot go on.*--restart"):
        make_manager("ars", None, trained_agent=str(agent))


def test_a_search_does_not_continue_an_agent(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("bnddpg"))
    agent = str(checkpoints(killed_run(make_manager, config, "bnddpg"))[-1] / "Pendulum-v1.zip")
    with pytest.raises(ConfigurationError, match="a search trains new agents"):
        make_manager("bnddpg", None, trained_agent=agent, optimize_hyperparameters=True)


def test_a_missing_replay_buffer_is_told(
    write_config: WriteConfig, make_manager: MakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    run = killed_run(make_manager, write_config(tiny_entry("bnddpg")), "bnddpg")
    agent = checkpoints(run)[-1] / "Pendulum-v1.zip"
    (agent.parent / "replay_buffer.pkl").unlink()
    capsys.readouterr()
    make_manager("bnddpg", None, trained_agent=str(agent)).setup_experiment()
    assert "continues with an empty one" in capsys.readouterr().out


def test_statistics_of_another_step_are_told(
    write_config: WriteConfig, make_manager: MakeManager, capsys: pytest.CaptureFixture[str]
) -> None:
    run = killed_run(make_manager, write_config(tiny_entry("bnddpg", normalize=True)), "bnddpg", save_freq=50)

    def warning(agent: Path) -> str:
        capsys.readouterr()
        result = make_manager("bnddpg", None, trained_agent=str(agent)).setup_experiment()
        assert result is not None
        return "".join(line for line in capsys.readouterr().out.splitlines() if "VecNormalize statistics" in line)

    complete = checkpoints(run)[-1]
    assert not warning(complete / "Pendulum-v1.zip")
    # The folders of the checkpoints before are gone, and with them their statistics
    agent, statistics = run / "rl_model_100_steps.zip", run / "Pendulum-v1/vecnormalize.pkl"
    assert f"{agent} is of step 100, but there is no {statistics}" in warning(agent)
    shutil.copy(complete / "Pendulum-v1/vecnormalize.pkl", statistics)
    assert f"{statistics}, which are of step 200" in warning(agent)
    assert not warning(run / "rl_model_200_steps.zip")


def test_an_episode_that_ended_at_the_break_was_not_cut(write_config: WriteConfig, make_manager: MakeManager) -> None:
    result = make_manager("bnddpg", write_config(tiny_entry("bnddpg", n_envs=2))).setup_experiment()
    assert result is not None
    buffer = result[0].replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    observations, actions = np.zeros((2, 3)), np.zeros((2, 1))
    buffer.add(observations, observations, actions, np.zeros(2), np.array([True, False]), [{}, {}])
    prepare_replay_buffer(result[0], "agent.zip", carries_on=True)
    assert buffer.dones[0].tolist() == [1, 1]
    assert buffer.timeouts[0].tolist() == [0, 1]


def test_the_last_transition_before_the_break_is_cut(write_config: WriteConfig, make_manager: MakeManager) -> None:
    run = killed_run(make_manager, write_config(tiny_entry("bnddpg", n_steps=3)), "bnddpg", kill_at=150)
    manager = make_manager("bnddpg", None, trained_agent=str(checkpoints(run)[-1] / "Pendulum-v1.zip"))
    result = manager.setup_experiment()
    assert result is not None
    buffer = result[0].replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    # An n-step return must not run on into the episode after the break, but bootstrap: a time-out, not an end
    assert buffer.dones[99, 0] == 1
    assert buffer.timeouts[99, 0] == 1
    assert buffer.dones[:99].sum() == 0


def test_the_seed_of_a_resumed_run_is_its_own() -> None:
    assert resumed_seed(1, 200) != 1
    assert resumed_seed(1, 200) == resumed_seed(1, 200)
    assert len({resumed_seed(1, 200), resumed_seed(1, 300), resumed_seed(2, 200)}) == 3


def test_an_agent_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    for name, algorithm in (("td3", TD3), ("bnddpg", BNDDPG)):
        algorithm("MlpPolicy", "Pendulum-v1", buffer_size=10, policy_kwargs=dict(net_arch=[4])).save(tmp_path / name)
    # DDPG is a TD3 with one critic, and has its policies
    for algo in ("td3", "ddpg"):
        check_saved_algorithm(tmp_path / "td3.zip", algo)
    check_saved_algorithm(tmp_path / "bnddpg.zip", "bnddpg")
    with pytest.raises(ConfigurationError, match=r"td3\.zip: an agent of ddpg or td3, with which bnddpg cannot go on"):
        check_saved_algorithm(tmp_path / "td3.zip", "bnddpg")
    for algo in ("td3", "copdacq", "ppo"):
        with pytest.raises(ConfigurationError, match=f"an agent of bnddpg, with which {algo} cannot go on"):
            check_saved_algorithm(tmp_path / "bnddpg.zip", algo)


def test_hyperparameters_that_cannot_be_read_again_are_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The classes of a Python file, which rl-zoo3 executes: no module has them."""
    names: dict[str, Any] = {"__name__": "builtins"}
    exec("class Wrapper: pass", names)
    write_run_config(tmp_path, "Pendulum-v1", {"env_wrapper": names["Wrapper"]})
    assert list(tmp_path.iterdir()) == []
    assert "give the same options again" in capsys.readouterr().out


def test_no_agent_in_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    path.write_text("no archive")
    with pytest.raises(ConfigurationError, match="not a saved agent"):
        saved_timesteps(path)
    shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path)
    with pytest.raises(ConfigurationError, match="not a saved agent"):
        saved_timesteps(tmp_path / "other.zip")
