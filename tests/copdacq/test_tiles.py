"""The NumPy path of linear policies over tiles does what the PyTorch path does."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_dpg import COPDACQ
from sb3_dpg.common.features import TileCoding
from sb3_dpg.copdacq.policies import LinearPolicy, MlpPolicy
from sb3_dpg.copdacq.tiles import TilePolicy


def make(n_envs: int = 1, **kwargs: Any) -> COPDACQ:
    noise = {"type": "autoregressive", "lambda": 0.9, "std": 0.7, "seed": 3}
    env = make_vec_env("Pendulum-v1", n_envs=n_envs, seed=0)
    return COPDACQ("LinearPolicy", env, action_noise=noise, seed=0, **kwargs)


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("kwargs", [dict(), dict(gradient_q="full"), dict(natural_gradient=True, actor_learning_rate=1e-3)])
@pytest.mark.parametrize("hash_size", [None, 512])
def test_training_gives_the_same_weights(n_envs: int, kwargs: dict[str, Any], hash_size: int | None) -> None:
    policy_kwargs = dict(features_extractor_kwargs=dict(n_tilings=8, n_bins=4, hash_size=hash_size))
    fast, slow = (make(n_envs, policy_kwargs=policy_kwargs, **kwargs) for _ in range(2))
    assert fast._tiles is not None
    slow._tiles = None
    for model in (fast, slow):
        model.learn(200 * n_envs)
    for part, expected in zip(fast.policy.weights, slow.policy.weights, strict=True):
        th.testing.assert_close(part[0], expected[0], rtol=1e-3, atol=1e-4)
    assert fast.policy.weights.theta[0].abs().max() > 0.0


@pytest.mark.parametrize("hash_size", [None, 4096])
def test_active_tiles_are_the_same(hash_size: int | None) -> None:
    space = spaces.Box(-2.0, 3.0, (5,), np.float32)
    kwargs = dict(n_bins=3, hash_size=hash_size)
    policy = LinearPolicy(space, spaces.Box(-1.0, 1.0, (2,)), lambda _: 0.0, TileCoding, kwargs)
    observations = np.random.default_rng(0).uniform(-3.0, 4.0, (200, 5)).astype(np.float32)
    expected = policy.features_extractor.active(th.tensor(observations))  # type: ignore[operator]
    np.testing.assert_array_equal(TilePolicy(policy).active(observations), expected.numpy())


def test_arrays_are_the_policys_own_memory() -> None:
    model = make()
    assert model._tiles is not None
    model._tiles.weights.theta[0][:] = 0.5
    assert th.equal(model.policy.weights.theta[0], th.full_like(model.policy.weights.theta[0], 0.5))
    model.set_parameters(model.get_parameters())
    model.policy.weights.theta[0].fill_(-0.25)
    assert (model._tiles.weights.theta[0] == -0.25).all()


def test_what_it_does_not_support_takes_the_other_path() -> None:
    assert make(buffer_size=100)._tiles is None
    assert make(policy_kwargs=dict(features_extractor_class="FourierBasis"))._tiles is None
    assert make(policy_kwargs=dict(value_features_extractor_class="FourierBasis"))._tiles is None
    space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    assert not TilePolicy.supports(MlpPolicy(space, space, lambda _: 0.0))
    assert TilePolicy.supports(LinearPolicy(space, space, lambda _: 0.0))


def test_subclasses_act_by_their_own_methods() -> None:
    class Constant(LinearPolicy):
        def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
            return th.full((len(observation), 1), 0.25)

    env = make_vec_env("Pendulum-v1", seed=0)
    model = COPDACQ(Constant, env, action_noise={"type": "normal", "sigma": 0.0}, seed=0)
    model.learn(5)
    assert model.replay_buffer is not None
    np.testing.assert_allclose(model.replay_buffer.actions, 0.25)
