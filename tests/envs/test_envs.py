"""The small problems: SB3's own checks, and the answers they are known for."""

import gymnasium as gym
import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env

from sb3_dpg.envs import LQR, ContinuousBandit, PuddleWorld, register

IDS = ["LQR-v0", "ContinuousBandit10-v0", "ContinuousBandit25-v0", "ContinuousBandit50-v0", "PuddleWorldContinuous-v0"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.filterwarnings("ignore:We recommend you to use a symmetric")
def test_registered_environments_pass_the_check(env_id: str) -> None:
    env = gym.make(env_id)
    check_env(env, skip_render_check=True)
    assert env.spec is not None
    assert env.spec.id == env_id


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.filterwarnings("ignore:.*render")
def test_rendering_is_refused_as_sb3_expects(env_id: str) -> None:
    assert gym.make(env_id, render_mode=None).unwrapped.render_mode is None
    with pytest.raises(TypeError, match=r"render_mode='rgb_array' is not supported by .*, which draws nothing"):
        gym.make(env_id, render_mode="rgb_array")
    # It asks for "rgb_array" first
    assert make_vec_env(env_id).reset().shape[0] == 1


def test_registering_twice_does_not_matter() -> None:
    before = {env_id: gym.registry[env_id] for env_id in IDS}
    register()
    assert all(gym.registry[env_id] is spec for env_id, spec in before.items())


def discounted_cost(env: LQR, gain: np.ndarray, gamma: float) -> float:
    """Expected cost from initial states of identity covariance under a = -K x without noise, by a Lyapunov equation."""
    closed_loop = np.sqrt(gamma) * (env.A - env.B @ gain)
    cost_to_go = solve_discrete_lyapunov(closed_loop.T, env.Q + gain.T @ env.R @ gain)
    return float(np.trace(cost_to_go))


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_no_gain_near_the_optimal_one_costs_less(gamma: float) -> None:
    env = LQR(A=[[1.1, 0.2], [0.0, 0.9]], B=[[0.5, 0.1], [0.0, 0.5]], R=np.eye(2))
    gain = env.optimal_gain(gamma)
    best = discounted_cost(env, gain, gamma)
    generator = np.random.default_rng(0)
    for _ in range(20):
        assert discounted_cost(env, gain + 0.01 * generator.standard_normal(gain.shape), gamma) > best


def test_lqr_dynamics_and_cost() -> None:
    env = LQR(noise_std=0.0)
    observation, _ = env.reset(seed=0)
    next_observation, reward, terminated, truncated, _ = env.step(np.array([2.0]))
    x = observation.astype(float)
    np.testing.assert_allclose(next_observation, [x[0] + 0.1 * x[1], x[1] + 0.2], rtol=1e-5)
    assert reward == pytest.approx(-(x @ x + 0.1 * 4.0), rel=1e-5)
    assert not terminated
    assert not truncated


def test_lqr_states_stay_inside_their_bounds() -> None:
    env = LQR(A=[[2.0]], B=[[1.0]], max_state=3.0)
    env.reset(seed=0)
    for _ in range(10):
        observation, *_ = env.step(np.array([4.0]))
    assert observation == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(A=[[1.0, 0.0]]), "A must be a square matrix"),
        (dict(A=[[1.0]], B=[[1.0], [1.0]]), "B must be a matrix of 1 row"),
        (dict(Q=np.eye(3)), "Q must be of the shape"),
        (dict(Q=-np.eye(2)), "Q must be symmetric and positive semidefinite"),
        (dict(R=[[0.0]]), "R must be symmetric and positive definite"),
        (dict(noise_std=-1.0), "noise_std=-1.0"),
        (dict(max_state=0.5), "max_state=0.5"),
        (dict(noise_std=np.inf), "noise_std=inf"),
        (dict(initial_range=np.inf, max_state=np.inf), "initial_range=inf"),
        (dict(max_state=np.inf), "max_state=inf"),
        (dict(max_action=np.inf), "max_action=inf"),
        (dict(A=[[np.nan]], B=[[1.0]]), "must be finite"),
    ],
)
def test_lqr_refuses_what_is_no_regulator(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LQR(**kwargs)


def test_a_system_that_nothing_stabilises_has_no_gain() -> None:
    with pytest.raises(ValueError, match="no gain stabilises the system"):
        LQR(A=[[1.5, 0.0], [0.0, 1.0]], B=[[0.0], [1.0]]).optimal_gain()


@pytest.mark.parametrize("action_dim", [10, 25, 50])
def test_bandit_is_the_papers(action_dim: int) -> None:
    env = ContinuousBandit(action_dim)
    eigenvalues = np.linalg.eigvalsh(env.cost_matrix)
    np.testing.assert_allclose(np.unique(eigenvalues.round(6)), [0.1, 1.0])
    env.reset()
    _, best, terminated, *_ = env.step(np.full(action_dim, 4.0))
    assert terminated
    assert best == pytest.approx(0.0)
    generator = np.random.default_rng(0)
    for _ in range(10):
        error = generator.standard_normal(action_dim)
        _, reward, *_ = env.step(4.0 + error)
        assert -1.0 * error @ error <= reward <= -0.1 * error @ error


def test_bandit_refuses_an_optimum_out_of_reach() -> None:
    with pytest.raises(ValueError, match=r"max_action=3\.0"):
        ContinuousBandit(max_action=3.0)
    with pytest.raises(ValueError, match="matrix_seed=-1"):
        ContinuousBandit(matrix_seed=-1)


@pytest.mark.parametrize(
    ("position", "depth"),
    [
        ((0.2, 0.75), 0.1),  # on the first centre line
        ((0.2, 0.80), 0.05),
        ((0.05, 0.75), 0.05),  # beyond its end
        ((0.45, 0.45), 0.1),  # on the second
        ((0.52, 0.5), 0.03),
        ((0.45, 0.77), 0.18),  # in both
        ((0.9, 0.9), 0.0),
    ],
)
def test_depth_in_the_puddles(position: tuple[float, float], depth: float) -> None:
    assert PuddleWorld.puddle_depth(np.array(position)) == pytest.approx(depth)


def test_puddle_world_starts_outside_the_goal_and_ends_in_it() -> None:
    env = PuddleWorld()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        assert observation.sum() < 1.9
    terminated, n_steps = False, 0
    # From (0, 0) to x + y = 1.9 it is 19 steps of (0.05, 0.05), and some for the noise
    while not terminated and n_steps < 25:
        observation, reward, terminated, *_ = env.step(np.ones(2))
        n_steps += 1
        assert reward <= -1.0
    assert terminated
    assert observation.sum() >= 1.9 - 1e-6
