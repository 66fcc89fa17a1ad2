import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import DDPG, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import unwrap_vec_normalize

from sb3_dpg.benchmark import evaluation
from sb3_dpg.benchmark.configuration import Configuration, EvaluationProtocol, Run
from sb3_dpg.benchmark.evaluation import EvaluationCallback
from sb3_dpg.benchmark.training import resolve_hyperparameters, train
from tests.benchmark.samples import CIRCUMSTANCES

# Episodes of 200 steps would take most of the time
PENDULUM = "TwentyStepPendulum-v0"
gym.register(PENDULUM, entry_point="gymnasium.envs.classic_control.pendulum:PendulumEnv", max_episode_steps=20)
SMALL = {
    "policy": "MlpPolicy",
    "policy_kwargs": {"net_arch": [8]},
    "batch_size": 8,
    "learning_starts": 50,
    "noise_type": "normal",
    "noise_std": 0.1,
}


def make_run(seed=0, algo="ddpg", points=3, episodes=2, steps=150, env_id=PENDULUM, **hyperparameters):
    resolved = resolve_hyperparameters(algo, env_id, "none", {**SMALL, **hyperparameters, "n_timesteps": steps})
    return Run(Configuration(algo, algo, env_id, steps, EvaluationProtocol(points, episodes), resolved), seed)


def without_times(records):
    return [{name: value for name, value in record.items() if name not in CIRCUMSTANCES} for record in records]


@pytest.mark.parametrize("algo", [pytest.param("ddpg", marks=pytest.mark.slow), "bnddpg"])
def test_the_same_run_gives_the_same_records_and_another_seed_others(algo):
    run = make_run(algo=algo)
    first = train(run)
    th.rand(3), np.random.rand(3)
    assert without_times(train(run)) == without_times(first)
    other = train(Run(run.configuration, seed=1))
    assert [record["returns"] for record in other] != [record["returns"] for record in first]


def test_a_record_for_each_evaluation_point():
    records = train(make_run(points=4, episodes=3, steps=150))
    assert [record["step"] for record in records] == [37, 75, 112, 150]
    for record in records:
        assert len(record["returns"]) == 3
        assert record["lengths"] == [20, 20, 20], "whole episodes"
        assert record["steps_per_second"] == pytest.approx(record["step"] / record["wall_time"])
        assert record["versions"].startswith("python ")
        assert record["machine"]
    assert [record["wall_time"] for record in records] == sorted(record["wall_time"] for record in records)


def test_a_return_that_is_no_number_is_an_error(monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate_policy", lambda *args, **kwargs: ([-1.0, np.nan], [20, 20]))
    with pytest.raises(ValueError, match="evaluation at step 50 has a return that is not finite"):
        train(make_run(points=3, steps=150))


@pytest.mark.parametrize(("algorithm", "deterministic"), [(DDPG, True), (SAC, False)])
def test_evaluations_do_not_disturb_training(algorithm, deterministic):
    weights = []
    for protocol in (EvaluationProtocol(1, 1, deterministic), EvaluationProtocol(7, 2, deterministic)):
        env, evaluation_env = (make_vec_env(PENDULUM, seed=0) for _ in range(2))
        model = algorithm("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, batch_size=8, learning_starts=50, seed=0)
        model.learn(150, callback=EvaluationCallback(evaluation_env, protocol, 150, seed=0))
        weights.append(model.policy.state_dict())
    for name, tensor in weights[0].items():
        assert th.equal(tensor, weights[1][name]), name


def test_an_evaluation_depends_on_its_number_not_on_the_episodes_before_it():
    returns = {}
    for episodes in (1, 3):
        run = make_run(points=2, episodes=episodes, learning_starts=1000)
        returns[episodes] = [record["returns"][0] for record in train(run)]
    assert returns[1] == returns[3]
    assert returns[1][0] != returns[1][1], "the untrained agent meets other episodes"


def test_with_several_environments_every_point_is_evaluated_once():
    records = train(make_run(points=10, steps=100, n_envs=8, train_freq=1))
    assert [record["step"] for record in records] == list(range(10, 101, 10))


def test_observations_are_normalised_by_the_statistics_of_training(monkeypatch):
    counts, evaluate_policy = [], evaluation.evaluate_policy

    def watched(model, env, *args, **kwargs):
        normalize = unwrap_vec_normalize(env)
        np.testing.assert_array_equal(normalize.obs_rms.mean, model.get_vec_normalize_env().obs_rms.mean)
        assert not normalize.training
        assert not normalize.norm_reward
        counts.append(normalize.obs_rms.count)
        return evaluate_policy(model, env, *args, **kwargs)

    monkeypatch.setattr(evaluation, "evaluate_policy", watched)
    train(make_run(normalize=True))
    # And those of the resets
    assert counts == pytest.approx([50, 100, 150], abs=8)


def test_episodes_that_a_wrapper_ends_are_an_error():
    run = make_run(env_wrapper={"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 10}})
    with pytest.raises(ValueError, match="ends episodes that Monitor does not see"):
        train(run)


def test_the_zoos_messages_are_kept_off_the_console(capsys):
    train(make_run(points=1))
    assert capsys.readouterr().out == ""


def test_training_that_ends_early_is_an_error():
    run = make_run(callback={"stable_baselines3.common.callbacks.StopTrainingOnMaxEpisodes": {"max_episodes": 0}})
    with pytest.raises(RuntimeError, match="of 150 steps"):
        train(run)
