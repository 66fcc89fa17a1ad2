"""How often and on what is trained: each of SB3's forms makes as many updates as with DDPG."""

import functools
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.her import HerReplayBuffer

from tests.algorithms import finite, same, weights
from tests.contract.scripts import BNDDPGS, OURS, OURS_WITH_REPLAY, Observed, build

TRAIN_FREQ: list[dict[str, Any]] = [
    dict(train_freq=1),
    dict(train_freq=3),
    dict(train_freq=(4, "step")),
    dict(train_freq=(1, "episode")),
    dict(train_freq=(2, "episode"), gradient_steps=-1),
    dict(train_freq=5, gradient_steps=-1),
    dict(gradient_steps=2),
    dict(gradient_steps=0),
    dict(learning_starts=0, batch_size=2),
    dict(learning_starts=1000),
]


def text(kwargs: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in kwargs.items())


@functools.cache
def script(name: str, n_envs: int = 1, **kwargs: Any) -> dict[str, Any]:
    model = build(name, make_vec_env(Observed, n_envs), **kwargs)
    before = weights(model)
    model.learn(30)
    assert finite(model)
    return dict(
        steps=model.num_timesteps,
        updates=model._n_updates,
        episodes=model._episode_num,
        learned=not same(before, weights(model)),
        train_freq=model.train_freq,
        stored=(model.replay_buffer.pos, model.replay_buffer.full, type(model.replay_buffer)),
    )


@pytest.mark.filterwarnings("ignore:.*will not learn")
@pytest.mark.parametrize("kwargs", TRAIN_FREQ, ids=text)
@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_frequencies(name: str, kwargs: dict[str, Any]) -> None:
    assert script(name, **kwargs) == script("ddpg", **kwargs)


@pytest.mark.filterwarnings("ignore:.*will not learn")
@pytest.mark.parametrize("kwargs", TRAIN_FREQ[:3] + TRAIN_FREQ[5:], ids=text)
@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_frequencies_with_several_environments(name: str, kwargs: dict[str, Any]) -> None:
    assert script(name, 3, **kwargs) == script("ddpg", 3, **kwargs)


@pytest.mark.filterwarnings("ignore:.*will not learn")
@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_episodes_are_of_one_environment(name: str) -> None:
    model = build(name, make_vec_env(Observed, 2), train_freq=(1, "episode"))
    with pytest.raises(AssertionError, match="only one env"):
        model.learn(10)


@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_warnings_are_of_the_line_that_trains(name: str) -> None:
    model = build(name, learning_starts=1000, action_noise=None)
    with pytest.warns(UserWarning, match="will not learn|is trained without action_noise") as record:
        model.learn(2)
    assert [warning.filename for warning in record] == [__file__] * 2


@pytest.mark.parametrize("bad", ["step", (1, "hour"), (1.5, "step"), (1,), None, 2.5, 0, (0, "episode"), -1, True])
@pytest.mark.parametrize("name", ["bnddpg", "copdacq-replay"])
def test_bad_frequencies_are_named(name: str, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="train_freq"):
        build(name, train_freq=bad)


@pytest.mark.parametrize("name", ["copdacq", "copdacq-mlp"])
def test_online_learning_makes_an_update_a_step(name: str) -> None:
    model = build(name).learn(50)
    assert model._n_updates == 50
    for kwargs in (dict(train_freq=2), dict(train_freq=(1, "episode")), dict(n_steps=3)):
        with pytest.raises(ValueError, match=rf"{next(iter(kwargs))}=.*pass a larger buffer_size"):
            build(name, **kwargs)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_n_steps(name: str, n_envs: int) -> None:
    outcome = script(name, n_envs, n_steps=3)
    assert outcome == script("ddpg", n_envs, n_steps=3)
    assert outcome["stored"][-1] is NStepReplayBuffer


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("name", BNDDPGS)
def test_hindsight_experience(name: str, n_envs: int) -> None:
    outcomes = []
    for algorithm in ("ddpg", name):
        env = make_vec_env(BitFlippingEnv, n_envs, env_kwargs=dict(n_bits=4, continuous=True))
        model = build(
            algorithm,
            env,
            "MultiInputPolicy",
            replay_buffer_class=HerReplayBuffer,
            replay_buffer_kwargs=dict(n_sampled_goal=2, goal_selection_strategy="future"),
        )
        model.learn(40)
        assert finite(model)
        action, _ = model.predict(env.reset(), deterministic=True)
        samples = model.replay_buffer.sample(4)
        outcomes.append(
            (
                type(model.replay_buffer),
                model._n_updates,
                action.shape,
                action.dtype,
                {key: value.shape for key, value in samples.observations.items()},
            )
        )
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", OURS)
def test_seed_decides_everything(name: str) -> None:
    first, second, other = (weights(build(name, make_vec_env(Observed, 2, seed=3), seed=seed).learn(30)) for seed in (5, 5, 6))
    assert same(first, second)
    assert not same(first, other)


@pytest.mark.parametrize("name", OURS)
def test_random_steps_are_without_noise(name: str) -> None:
    """Not so in SB3."""
    actions = []

    def keep(local_variables: dict[str, Any], _: dict[str, Any]) -> bool:
        actions.append(local_variables["buffer_actions"])
        return True

    build(name, learning_starts=50, action_noise=dict(type="normal", sigma=100.0)).learn(100, callback=keep)
    assert np.abs(actions[:50]).max() < 1.0
    assert np.mean(np.abs(actions[50:]) == 1.0) > 0.9
