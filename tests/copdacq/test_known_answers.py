"""COPDACQ on problems whose answer is known, and where Q-learning with linear features must diverge."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import FlattenExtractor

from sb3_dpg import COPDACQ
from sb3_dpg.common.divergence import DivergenceError
from sb3_dpg.envs import LQR, ContinuousBandit

GAMMA = 0.9
SYSTEMS: dict[str, dict[str, Any]] = {
    "double integrator": dict(),
    "3 states, 1 action": dict(A=[[0.9, 0.3, 0.0], [0.0, 0.9, 0.3], [0.0, 0.0, 0.8]], B=[[0.0], [0.1], [0.5]]),
    "4 states, 2 actions": dict(
        A=[[0.9, 0.2, 0.0, 0.0], [0.0, 0.8, 0.1, 0.0], [0.0, 0.0, 0.9, 0.2], [0.1, 0.0, 0.0, 0.8]],
        B=[[0.0, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 0.5]],
        R=0.5 * np.eye(2),
    ),
}


def make_lqr(system: dict[str, Any]) -> LQR:
    return LQR(**system, max_state=1.7, max_action=6.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "natural_gradient", "actor_rate", "advantage_rate", "noise_std"),
    [
        ("double integrator", True, "exp_5e-4_1e-4", "exp_150_15", 0.12),
        ("3 states, 1 action", False, "exp_7.5e-3_1.5e-3", "exp_100_10", 0.12),
        ("4 states, 2 actions", True, "exp_2e-4_2e-5", "exp_600_60", 0.05),
    ],
)
def test_learned_gain_is_riccatis(
    name: str, natural_gradient: bool, actor_rate: str, advantage_rate: str, noise_std: float
) -> None:
    system = make_lqr(SYSTEMS[name])
    n_states = len(system.A)
    # V has (n + 1)(n + 2) / 2 features, among them the constant: a step size near their number is as large as is stable
    value_rate = 0.4 * (n_states + 1) * (n_states + 2)
    model = COPDACQ(
        "LinearPolicy",
        make_vec_env(lambda: TimeLimit(make_lqr(SYSTEMS[name]), 8), n_envs=8, seed=0),
        actor_learning_rate=actor_rate,
        advantage_learning_rate=advantage_rate,
        value_learning_rate=f"exp_{value_rate}_{value_rate / 5}",
        gamma=GAMMA,
        natural_gradient=natural_gradient,
        buffer_size=4000,
        batch_size=256,
        action_noise={"type": "normal", "sigma": noise_std, "seed": 0},
        policy_kwargs=dict(
            features_extractor_class="PolynomialBasis",
            features_extractor_kwargs=dict(degree=1, min_degree=1),
            value_features_extractor_class="PolynomialBasis",
            value_features_extractor_kwargs=dict(degree=2),
        ),
        seed=0,
    )
    model.learn(60_000, log_interval=None)
    # mu(0.1 e_i) = -0.1 K e_i, far from the action bounds
    actions, _ = model.predict(0.1 * np.eye(n_states, dtype=np.float32))
    gain, optimal = -10.0 * actions.T, system.optimal_gain(GAMMA)
    assert np.linalg.norm(gain - optimal) < 0.05 * np.linalg.norm(optimal)


@pytest.mark.parametrize(
    ("action_dim", "actor_rate", "advantage_rate", "steps"),
    [
        (5, "exp_4e-3_2e-4", 80.0, 3000),
        pytest.param(10, "exp_2e-3_1e-4", 40.0, 6000, marks=pytest.mark.slow),
        pytest.param(25, "exp_2e-3_1e-4", 20.0, 12_000, marks=pytest.mark.slow),
    ],
)
def test_bandit_is_solved(action_dim: int, actor_rate: str, advantage_rate: float, steps: int) -> None:
    model = COPDACQ(
        "LinearPolicy",
        ContinuousBandit(action_dim),
        actor_learning_rate=actor_rate,
        advantage_learning_rate=advantage_rate,
        action_noise={"type": "normal", "sigma": 0.02, "seed": 0},
        policy_kwargs=dict(features_extractor_class="FlattenExtractor"),
        seed=0,
    )
    model.learn(steps, log_interval=None)
    action, _ = model.predict(np.ones(1, np.float32))
    optimal = np.full(action_dim, 4.0)
    assert np.linalg.norm(action - optimal) < 0.05 * np.linalg.norm(optimal)


class TwoStates(gym.Env[np.ndarray, np.ndarray]):
    """
    Where Q-learning with linear features diverges (Tsitsiklis and Van Roy 1996): from the state 1 to the state 2, reward 0.

    Features are the state itself, so that V(1) = v and V(2) = 2 v, and the true values 0 lie at v = 0. Every episode is cut
    off after its first step: transitions from the state 1 are all that is seen, off the policy's own distribution. Then
    delta = 2 gamma v - v - A has the sign of v wherever gamma > 1/2, and v grows.
    """

    observation_space = spaces.Box(0.0, 2.0, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.array([1.0], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.array([2.0], np.float32), 0.0, False, True, {}


# A fixed behaviour half the range away from mu; one around it; one around mu
BEHAVIOURS = {"fixed offset": (0.5, 0.0), "offset and noise": (0.5, 0.2), "zero-mean noise": (0.0, 0.2)}


def train_on_two_states(gradient_q: bool | str, behaviour: str) -> list[float]:
    """
    :param gradient_q: The critic
    :param behaviour: One of ``BEHAVIOURS``
    :return: |v| after each 400 steps, from |v| = 1
    """
    mean, sigma = BEHAVIOURS[behaviour]
    model = COPDACQ(
        "LinearPolicy",
        TwoStates(),
        learning_rate=0.02,
        actor_learning_rate=0.0,
        correction_learning_rate=1.0,
        gradient_q=gradient_q,
        gamma=0.99,
        action_noise={"type": "normal", "sigma": sigma, "mean": mean, "seed": 0},
        policy_kwargs=dict(features_extractor_class=FlattenExtractor),
        max_td_error=1e6,
        seed=0,
    )
    model.policy.weights.v[0].fill_(1.0)
    sizes = []
    for _ in range(3):
        model.learn(400, log_interval=None, reset_num_timesteps=False)
        sizes.append(model.policy.weights.v[0].abs().item())
    return sizes


@pytest.mark.parametrize("behaviour", list(BEHAVIOURS))
def test_q_learning_critic_diverges_off_policy(behaviour: str) -> None:
    with pytest.raises(DivergenceError, match=r"value_learning_rate=0\.02"):
        train_on_two_states(False, behaviour)


@pytest.mark.parametrize(
    ("gradient_q", "behaviour"),
    [
        (True, "fixed offset"),
        pytest.param("full", "fixed offset", marks=pytest.mark.slow),
        ("full", "offset and noise"),
        pytest.param("full", "zero-mean noise", marks=pytest.mark.slow),
    ],
)
def test_gradient_q_critic_stays_bounded_where_q_learning_diverges(gradient_q: bool | str, behaviour: str) -> None:
    sizes = train_on_two_states(gradient_q, behaviour)
    assert max(sizes) <= 1.0
    assert sizes[-1] <= sizes[0] + 1e-6, "it does not grow"


def test_the_papers_correction_needs_exploration_with_a_mean() -> None:
    """phi(s, a) has the mean 0 under zero-mean exploration, and with it the correction that is estimated from it alone."""
    with pytest.raises(DivergenceError):
        train_on_two_states(True, "zero-mean noise")
