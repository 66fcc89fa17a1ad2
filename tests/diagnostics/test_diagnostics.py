"""Diagnostics against critics and networks for which they are known."""

import copy
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import nn

from sb3_dpg import BNDDPG
from sb3_dpg.bnddpg.policies import BNDDPGPolicy
from sb3_dpg.common.noise import OrnsteinUhlenbeckNoise
from sb3_dpg.common.torch_layers import InputNorm
from sb3_dpg.diagnostics import DiagnosticsCallback, action_values, greedy_gap
from sb3_dpg.diagnostics.batch_norm import batch_norm_drift
from sb3_dpg.diagnostics.critics import action_gradient
from tests.algorithms import make, same, weights
from tests.contract.scripts import Observed

OBSERVATIONS = np.random.default_rng(0).uniform(-1, 1, (32, 3)).astype(np.float32)
BEST, SCALE = 0.3, 2.0


class Quadratic(nn.Module):
    """Two critics -c (a - BEST)^2 + c' of which the second is the smaller one."""

    def forward(self, observations: th.Tensor, actions: th.Tensor) -> tuple[th.Tensor, ...]:
        value = -SCALE * (actions - BEST).square().sum(1, keepdim=True)
        return value, value - 1.0


def small(algorithm: type[OffPolicyAlgorithm], **kwargs: Any) -> OffPolicyAlgorithm:
    arguments = dict(learning_starts=10, batch_size=8, buffer_size=200, policy_kwargs=dict(net_arch=[8]), seed=0, device="cpu")
    return algorithm("MlpPolicy", "Pendulum-v1", **arguments | kwargs)


def actor_action(model: OffPolicyAlgorithm) -> np.ndarray:
    return model.policy.scale_action(model.predict(OBSERVATIONS, deterministic=True)[0])


@pytest.mark.parametrize("algorithm", [TD3, SAC])
def test_gap_of_a_quadratic_critic_is_known(algorithm: type[OffPolicyAlgorithm]) -> None:
    model = small(algorithm)
    model.critic = Quadratic()
    result = greedy_gap(model, OBSERVATIONS)
    expected = SCALE * (actor_action(model)[:, 0] - BEST) ** 2
    # The last distribution has a standard deviation of 1e-3, so that the best action is closer than that to BEST
    np.testing.assert_allclose(result.gap, expected, atol=SCALE * 1e-6 + 1e-5)
    np.testing.assert_allclose(result.best_action, BEST, atol=5e-3)
    # TD3's actor climbs the first critic, SAC's the smallest
    np.testing.assert_allclose(result.value, -expected - (algorithm is SAC), atol=1e-5)


def test_gap_of_a_greedy_actor_is_zero() -> None:
    model = small(TD3)
    model.critic = Quadratic()
    with th.no_grad():
        model.actor.mu[-2].weight.zero_()
        model.actor.mu[-2].bias.fill_(np.arctanh(BEST))
    assert greedy_gap(model, OBSERVATIONS).gap == pytest.approx(0.0, abs=1e-6)


def test_gap_of_a_compatible_critic_is_at_a_bound() -> None:
    model = make("copdacq")
    with th.no_grad():
        model.policy.w.fill_(0.5)
    result = greedy_gap(model, OBSERVATIONS)
    # A(s, a) = (a - 0) * sum of 8 active weights
    np.testing.assert_allclose(result.gap, 4.0, rtol=1e-5)
    np.testing.assert_allclose(result.best_action, 1.0)


def test_search_is_repeatable_and_leaves_generators_alone() -> None:
    model = small(TD3)
    th.manual_seed(1)
    first = greedy_gap(model, OBSERVATIONS, n_iterations=1)
    after = th.rand(1)
    th.manual_seed(1)
    assert th.equal(after, th.rand(1))
    assert np.array_equal(first.gap, greedy_gap(model, OBSERVATIONS, n_iterations=1).gap)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("n_samples", 1, ValueError),
        ("n_iterations", 0, ValueError),
        ("n_samples", 2.5, TypeError),
    ],
)
def test_wrong_arguments_are_named(argument: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=argument):
        greedy_gap(small(TD3), OBSERVATIONS, **{argument: value})


def test_algorithms_without_critic_are_refused() -> None:
    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(TypeError, match="PPO has no critic"):
        model.learn(8, callback=DiagnosticsCallback())


def test_action_gradient_of_a_quadratic_critic() -> None:
    model = small(TD3)
    model.critic = Quadratic()
    actions = th.linspace(-1, 1, 32)[:, None]
    gradient = action_gradient(action_values(model), th.from_numpy(OBSERVATIONS), actions)
    th.testing.assert_close(gradient, -2 * SCALE * (actions - BEST))


def test_action_gradient_of_a_compatible_critic() -> None:
    model = make("copdacq")
    assert hasattr(model.policy, "q_values")
    with th.no_grad():
        model.policy.w.fill_(0.5)
    gradient = action_gradient(action_values(model), th.from_numpy(OBSERVATIONS), th.zeros(32, 1))
    th.testing.assert_close(gradient, th.full((32, 1), 4.0))


class WithValues(BNDDPGPolicy):
    """A policy that happens to have a method of the name by which compatible values are known."""

    def q_values(self, observations: th.Tensor, actions: th.Tensor) -> th.Tensor:
        return self.critic(observations, actions)[0]


def test_a_policy_with_a_critic_is_not_taken_for_a_compatible_one() -> None:
    gaps = []
    for policy in (BNDDPGPolicy, WithValues):
        model = BNDDPG(policy, "Pendulum-v1", seed=0, buffer_size=10, policy_kwargs=dict(net_arch=[8]))
        gaps.append(greedy_gap(model, OBSERVATIONS).gap)
    np.testing.assert_array_equal(*gaps)


@pytest.mark.parametrize(("actor_n_critics", "used"), [(None, slice(0, 3)), (2, slice(0, 2))])
def test_values_of_bnddpg_are_those_that_its_actor_climbs(actor_n_critics: int | None, used: slice) -> None:
    model = small(BNDDPG, actor_n_critics=actor_n_critics, policy_kwargs=dict(net_arch=[8], n_critics=3))
    inputs, actions = th.from_numpy(OBSERVATIONS), th.full((32, 1), 0.5)
    expected = th.stack(model.critic(inputs, actions))[used].mean(0)
    th.testing.assert_close(action_values(model)(inputs, actions), expected)
    callback = DiagnosticsCallback(log_freq=10, n_observations=8)
    model.learn(30, callback=callback)
    assert np.isfinite(callback.measure()["critic_batch_norm_drift"])


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(0, 255, (1, 36, 36), np.uint8)], ids=["discrete", "image"])
def test_values_of_a_compatible_critic_for_observations_that_are_preprocessed(space: spaces.Space) -> None:
    space.seed(0)
    model = make("copdacq", Observed(space, spaces.Box(-1.0, 1.0, (1,))))
    with th.no_grad():
        model.policy.v.normal_()
        model.policy.w.normal_()
    observations = np.stack([space.sample() for _ in range(5)])
    inputs, _ = model.policy.obs_to_tensor(observations)
    values = action_values(model)(inputs, th.full((5, 1), 0.5))
    features = model.policy.features_extractor(model.policy.preprocess(inputs))
    th.testing.assert_close(values, features @ (model.policy.v + 0.5 * model.policy.w))
    assert values.unique().numel() > 1
    np.testing.assert_allclose(greedy_gap(model, observations).value, (features @ model.policy.v)[:, 0], rtol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 100.1, 12345.678])
def test_no_drift_of_a_constant(constant: float) -> None:
    """Batch and running mean differ by rounding, which is no drift."""
    layer = InputNorm(2)
    batches = th.full((50, 256, 2), constant)
    batches[..., 0] = th.randn(50, 256, generator=th.Generator().manual_seed(0))
    for batch in batches:
        layer(batch, train=True)
    drift = batch_norm_drift(layer, lambda: layer(batches[0]))
    assert drift is not None
    assert drift < 0.2


def test_drift_is_the_distance_of_the_data() -> None:
    layer = nn.BatchNorm1d(2, eps=0.0).eval()
    layer.running_mean.copy_(th.tensor([1.0, -1.0]))
    layer.running_var.fill_(4.0)
    # Batch means 3 and -1, standard deviations 2 and 1: the first feature is one running standard deviation off in its mean,
    # the second half of one in its width
    batch = th.tensor([[1.0, 0.0], [5.0, -2.0]])
    assert batch_norm_drift(layer, lambda: layer(batch)) == pytest.approx((1.0 + 0.5) / 2)
    assert batch_norm_drift(nn.Linear(2, 2), lambda: None) is None
    without = nn.BatchNorm1d(2, track_running_stats=False).eval()
    assert batch_norm_drift(without, lambda: without(batch)) is None


def diagnosed(model: OffPolicyAlgorithm, steps: int = 40) -> dict[str, float]:
    callback = DiagnosticsCallback(log_freq=20)
    model.learn(steps, callback=callback)
    return callback.measure()


def test_saturation_is_seen() -> None:
    model = small(TD3, learning_starts=100)
    with th.no_grad():
        model.actor.mu[-2].weight.zero_()
        model.actor.mu[-2].bias.fill_(20.0)
    measurements = diagnosed(model)
    assert measurements["actor_saturation"] == 1.0
    # Nothing reaches the actor through tanh, whatever the critic says
    assert measurements["actor_gradient_norm"] == pytest.approx(0.0, abs=1e-6)
    assert measurements["action_gradient_norm"] > 1e-3


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize(
    ("noise", "std"),
    [
        (NormalActionNoise(np.zeros(1), np.full(1, 0.25)), 0.25),
        # Of x' = (1 - theta dt) x + sigma sqrt(dt) eps, with theta dt = 1/2: sigma^2 dt / (1 - 1/4)
        (OrnsteinUhlenbeckActionNoise(np.zeros(1), np.full(1, 0.3), theta=0.5, dt=1.0), 0.3 / np.sqrt(0.75)),
        (OrnsteinUhlenbeckNoise(np.zeros(1), 0.3, theta=0.5), 0.3),
    ],
    ids=["normal", "sb3-ou", "ou"],
)
def test_noise_is_logged(noise: ActionNoise, std: float, n_envs: int) -> None:
    env = make_vec_env("Pendulum-v1", n_envs)
    arguments = dict(learning_starts=100, buffer_size=200, policy_kwargs=dict(net_arch=[8]), seed=0, device="cpu")
    model = TD3("MlpPolicy", env, action_noise=copy.deepcopy(noise), **arguments)
    assert diagnosed(model)["noise_std"] == pytest.approx(std)


def test_noise_of_an_unknown_class_is_not_logged() -> None:
    class Unknown(ActionNoise):
        def __call__(self) -> np.ndarray:
            return np.zeros(1)

    assert "noise_std" not in diagnosed(small(TD3, action_noise=Unknown()))
    assert "noise_std" not in diagnosed(small(TD3))


@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
def test_training_is_not_touched(name: str) -> None:
    plain = make(name).learn(60)
    # Made afterwards: it seeds the generators that both share
    watched = make(name).learn(60, callback=DiagnosticsCallback(log_freq=7, n_observations=16))
    assert same(weights(plain), weights(watched))


def test_hindsight_before_its_first_episode_has_ended() -> None:
    """The buffer has transitions enough, but SB3's for HER samples whole episodes only."""
    model = BNDDPG(
        "MultiInputPolicy",
        BitFlippingEnv(n_bits=4, continuous=True, max_steps=5),
        replay_buffer_class=HerReplayBuffer,
        learning_starts=4,
        batch_size=4,
        buffer_size=100,
        action_noise={"type": "normal", "sigma": 0.1},
        policy_kwargs=dict(net_arch=[8]),
        device="cpu",
    )
    model.learn(5, callback=DiagnosticsCallback(log_freq=5))
    assert "critic_batch_norm_drift" in diagnosed(model)


def test_another_training_has_observations_of_its_own() -> None:
    callback = DiagnosticsCallback(log_freq=5)
    for env in ("Pendulum-v1", "MountainCarContinuous-v0"):
        TD3("MlpPolicy", env, learning_starts=100, buffer_size=50, policy_kwargs=dict(net_arch=[8])).learn(10, callback)
        assert len(callback._observations) == 10


def test_names_that_are_logged() -> None:
    assert {"actor_batch_norm_drift", "actor_gradient_norm", "critic_gradient_norm", "greedy_gap"} <= diagnosed(
        make("bnddpg")
    ).keys()
    assert "actor_batch_norm_drift" not in diagnosed(make("copdacq"))


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_a_frozen_network_has_no_gradient(network: str) -> None:
    model = make("bnddpg")
    getattr(model, network).requires_grad_(False)
    model.learn(30)
    assert diagnosed(model)[f"{network}_gradient_norm"] == 0.0
