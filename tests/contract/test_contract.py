"""What SB3 promises of an off-policy algorithm: the same script runs with SB3's DDPG, BNDDPG and COPDACQ."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DDPG
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecCheckNan, VecFrameStack, VecNormalize

from tests.algorithms import CLASSES, POLICIES, SMALL, make, same, weights

OURS = ["bnddpg", "copdacq", "copdacq-replay"]


def build(name: str, env: Any = "Pendulum-v1", **kwargs: Any) -> Any:
    if name != "ddpg":
        return make(name, env, **kwargs)
    return DDPG("MlpPolicy", env, seed=0, action_noise=NormalActionNoise(np.zeros(1), np.ones(1)), **SMALL["bnddpg"] | kwargs)


class Observed(gym.Env):
    action_space = spaces.Box(-2.0, 3.0, (2,))

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> Any:
        return self.observation_space.sample(), float(action.sum()), self.np_random.random() < 0.1, False, {}


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2, 3)), spaces.Discrete(4)], ids=["box", "discrete"])
@pytest.mark.parametrize("name", OURS)
def test_observations(name: str, space: spaces.Space) -> None:
    model = make(name, Observed(space))
    before = weights(model)
    model.learn(30)
    assert not same(weights(model), before)
    action, state = model.predict(space.sample(), deterministic=True)
    assert action.shape == (2,)
    assert state is None
    assert Observed.action_space.contains(action.astype(np.float32))


@pytest.mark.parametrize(
    "wrapper", [VecNormalize, VecCheckNan, lambda env: VecFrameStack(env, 2)], ids=["norm", "nan", "stack"]
)
@pytest.mark.parametrize("name", ["ddpg", *OURS])
def test_wrappers_of_several_environments(name: str, wrapper: Any) -> None:
    env = wrapper(make_vec_env("Pendulum-v1", 2, seed=0))
    model = build(name, env).learn(40)
    assert model.num_timesteps == 40
    assert model.predict(env.reset())[0].shape == (2, 1)
    assert (model.get_vec_normalize_env() is env) == isinstance(env, VecNormalize)


@pytest.mark.parametrize("name", ["ddpg", *OURS])
def test_callbacks_and_logs(name: str, tmp_path: Path) -> None:
    calls: list[int] = []

    class Count(EveryNTimesteps):
        def _on_event(self) -> bool:
            calls.append(self.num_timesteps)
            return True

    model = build(name)
    model.set_logger(configure(str(tmp_path), ["csv", "json"]))
    evaluation = EvalCallback(make_vec_env("Pendulum-v1"), eval_freq=200, n_eval_episodes=1, log_path=str(tmp_path), verbose=0)
    checkpoint = CheckpointCallback(150, str(tmp_path), save_replay_buffer=True)
    stop = StopTrainingOnMaxEpisodes(2)
    model.learn(1000, CallbackList([evaluation, checkpoint, stop, Count(100, evaluation)]), log_interval=1)
    assert model.num_timesteps == 400, "two episodes of Pendulum-v1"
    assert calls == [100, 200, 300, 400]
    assert {"rl_model_150_steps.zip", "rl_model_replay_buffer_300_steps.pkl", "evaluations.npz"} <= set(
        path.name for path in tmp_path.iterdir()
    )
    head = (tmp_path / "progress.csv").read_text().splitlines()[0].split(",")
    assert {"rollout/ep_rew_mean", "time/total_timesteps", "train/n_updates"} <= set(head)
    loaded = type(model).load(tmp_path / "rl_model_300_steps", env=make_vec_env("Pendulum-v1"))
    loaded.load_replay_buffer(tmp_path / "rl_model_replay_buffer_300_steps")
    assert loaded.learn(20, reset_num_timesteps=False).num_timesteps == 320


@pytest.mark.parametrize("name", ["ddpg", *OURS])
def test_save_and_load_options(name: str, tmp_path: Path) -> None:
    model = build(name).learn(30)
    model.save(tmp_path / "model", exclude=["tensorboard_log"])
    loaded = type(model).load(
        tmp_path / "model",
        env=make_vec_env("Pendulum-v1", 2),
        device="cpu",
        custom_objects={"gamma": 0.5},
        print_system_info=False,
    )
    assert (loaded.gamma, loaded.n_envs) == (0.5, 2)
    assert same(weights(loaded), weights(model))
    fresh = build(name, **({} if name == "ddpg" else dict(seed=1)))
    fresh.set_parameters(str(tmp_path / "model"))
    assert same(weights(fresh), weights(model))
    with pytest.raises(ValueError, match=r"[Oo]bservation spaces do not match"):
        model.set_env(gym.make("MountainCarContinuous-v0"))


@pytest.mark.parametrize("name", OURS)
def test_predict_is_deterministic_and_attributes_agree_with_ddpg(name: str) -> None:
    model, reference = build(name).learn(30), build("ddpg").learn(30)
    observations = np.stack([model.get_env().reset()[0] for _ in range(3)])
    actions = [model.predict(observations, deterministic=flag)[0] for flag in (True, False)]
    np.testing.assert_array_equal(*actions)
    public = {attribute for attribute in dir(reference) if not attribute.startswith("_")}
    networks = {"actor", "actor_target", "critic", "critic_target", "actor_batch_norm_stats", "critic_batch_norm_stats"}
    networks |= {"actor_batch_norm_stats_target", "critic_batch_norm_stats_target"}
    delayed = {"policy_delay", "target_policy_noise", "target_noise_clip"}
    assert public - networks - (delayed if name.startswith("copdacq") else set()) <= set(dir(model))
    assert POLICIES[name] in CLASSES[name].policy_aliases
