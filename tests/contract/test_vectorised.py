"""Several environments, in one process and in many, and SB3's wrappers around them."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from tests.algorithms import finite, same, weights
from tests.contract.scripts import BNDDPGS, OURS, OURS_WITH_REPLAY, Observed, build


def observed(n_envs: int = 1, **kwargs: Any) -> VecEnv:
    return make_vec_env(Observed, n_envs, seed=0, env_kwargs=kwargs)


@pytest.mark.parametrize("name", OURS)
def test_processes_give_what_one_process_gives(name: str) -> None:
    results = []
    for kwargs in (dict(vec_env_cls=DummyVecEnv), dict(vec_env_cls=SubprocVecEnv, vec_env_kwargs=dict(start_method="fork"))):
        env = make_vec_env(Observed, 2, seed=0, **kwargs)
        try:
            model = build(name, env).learn(30)
            assert model.predict(env.reset())[0].shape == (2, 2)
        finally:
            env.close()
        results.append(weights(model))
    assert same(*results)


@pytest.mark.parametrize(
    "noise",
    [
        {"type": "normal", "std": 0.1},
        {"type": "ornstein-uhlenbeck", "std": 0.1, "initial": "stationary", "hold": {"probability": 0.1}},
        {"type": "stable_baselines3.common.noise.NormalActionNoise", "mean": [0, 0], "sigma": [0.1, 0.1]},
        {"type": "stable_baselines3.common.noise.NormalActionNoise", "mean": 0, "sigma": [1, 1], "hold": {"probability": 0.1}},
    ],
)
def test_noise_of_several_environments_whose_episodes_end_before_its_first_draw(noise: dict[str, Any]) -> None:
    model = build("bnddpg", observed(3), action_noise=noise, learning_starts=50).learn(90)
    assert model.action_noise().shape == (3, 2)


@functools.cache
def counts(name: str, n_envs: int) -> tuple[int, ...]:
    model = build(name, observed(n_envs)).learn(30)
    assert model.replay_buffer.n_envs == n_envs
    return model.num_timesteps, model.n_envs, model._episode_num, len(model.ep_info_buffer)


@pytest.mark.parametrize("n_envs", [1, 2, 7])
@pytest.mark.parametrize("name", OURS)
def test_number_of_environments(name: str, n_envs: int) -> None:
    assert counts(name, n_envs) == counts("ddpg", n_envs)


Wrapper = Callable[[VecEnv], VecEnv]
WRAPPERS: dict[str, Wrapper] = {
    "normalize": VecNormalize,
    "normalize-observations": lambda env: VecNormalize(env, norm_reward=False),
    "normalize-rewards": lambda env: VecNormalize(env, norm_obs=False),
    "frame-stack": lambda env: VecFrameStack(env, 2),
    "check-nan": lambda env: VecCheckNan(env, raise_exception=True),
    "monitor": VecMonitor,
    "all": lambda env: VecNormalize(VecFrameStack(VecCheckNan(env, raise_exception=True), 2)),
}


@functools.cache
def wrapped(name: str, wrapper: str, n_envs: int) -> dict[str, Any]:
    env = WRAPPERS[wrapper](observed(n_envs))
    model = build(name, env).learn(30)
    assert finite(model)
    normalized = model.get_vec_normalize_env()
    return dict(
        action=model.predict(env.reset())[0].shape,
        steps=model.num_timesteps,
        space=model.observation_space,
        normalized=normalized is not None,
        seen=None if normalized is None else normalized.ret_rms.count,
    )


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", OURS)
def test_wrappers(name: str, wrapper: str, n_envs: int) -> None:
    assert wrapped(name, wrapper, n_envs) == wrapped("ddpg", wrapper, n_envs)


@pytest.mark.filterwarnings("ignore:.*will not learn")
@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_buffer_holds_what_the_environment_said(name: str) -> None:
    """``VecNormalize`` is applied when minibatches are drawn: what it has learned since counts for old transitions too."""
    buffers = []
    for wrapper in (VecNormalize, lambda env: env):
        model = build(name, wrapper(observed()), learning_starts=100).learn(30)
        buffers.append(model.replay_buffer)
    for field in ("observations", "next_observations", "rewards", "dones", "actions"):
        # Not equal: SB3 normalises the last observation of an episode, and takes that back
        np.testing.assert_allclose(getattr(buffers[0], field)[:30], getattr(buffers[1], field)[:30], rtol=1e-6)


@pytest.mark.parametrize("name", ["ddpg", *BNDDPGS])
def test_normalised_dictionaries(name: str) -> None:
    space = spaces.Dict({"a": spaces.Box(-9, 9, (3,)), "b": spaces.Discrete(3)})
    env = VecNormalize(observed(2, observation_space=space), norm_obs_keys=["a"])
    model = build(name, env, "MultiInputPolicy").learn(40)
    assert finite(model)
    assert model.predict(env.reset())[0].shape == (2, 2)


@pytest.mark.parametrize("name", BNDDPGS)
def test_normalisation_below_the_transposition_of_a_dictionarys_images(name: str) -> None:
    """SB3 puts the channels first outside of what it is given."""
    space = spaces.Dict({"image": spaces.Box(0, 255, (36, 36, 3), np.uint8), "numbers": spaces.Box(-9, 9, (3,))})
    env = observed(2, observation_space=space)
    with pytest.raises(ValueError, match=r"VecNormalize\(VecTransposeImage\(env\)\)"):
        build(name, VecNormalize(env, norm_obs_keys=["numbers"]), "MultiInputPolicy")
    model = build(name, VecNormalize(VecTransposeImage(env), norm_obs_keys=["numbers"]), "MultiInputPolicy")
    assert finite(model.learn(20))


@pytest.mark.parametrize("name", OURS)
def test_check_nan_stops_training(name: str) -> None:
    class Broken(Observed):
        def step(self, action: np.ndarray) -> Any:
            observation, _, *rest = super().step(action)
            return observation, np.nan, *rest

    with pytest.raises(ValueError, match="nan"):
        build(name, VecCheckNan(DummyVecEnv([Broken]), raise_exception=True)).learn(20)


@pytest.mark.parametrize("name", OURS)
def test_set_env(name: str) -> None:
    model = build(name, observed(2)).learn(20)
    other = observed(2)
    model.set_env(other)
    assert model.get_env() is other
    assert model._last_obs is None
    assert model.learn(20, reset_num_timesteps=False).num_timesteps == 40


@pytest.mark.parametrize("name", OURS)
def test_set_env_keeps_the_observation_if_asked(name: str) -> None:
    model = build(name, observed()).learn(20)
    model.set_env(model.get_env(), force_reset=False)
    assert model._last_obs is not None


@pytest.mark.parametrize("name", OURS)
def test_set_env_refuses_what_does_not_fit(name: str) -> None:
    model = build(name, observed(2))
    with pytest.raises(AssertionError, match="number of environments to be set is different"):
        model.set_env(observed(3))
    for kwargs in (
        dict(observation_space=spaces.Box(-1, 1, (4,))),
        dict(observation_space=spaces.Discrete(3)),
        dict(action_space=spaces.Box(-1, 1, (2,))),
    ):
        with pytest.raises(ValueError, match="spaces do not match"):
            model.set_env(observed(2, **kwargs))
    assert model.learn(20).num_timesteps == 20, "the environment that it had is still there"


@pytest.mark.parametrize("name", OURS)
def test_set_env_follows_normalisation(name: str) -> None:
    model = build(name, VecNormalize(observed())).learn(20)
    plain, normalized = observed(), VecNormalize(observed())
    model.set_env(plain)
    assert model.get_vec_normalize_env() is None
    model.set_env(normalized)
    assert model.get_vec_normalize_env() is normalized
    assert finite(model.learn(20))
