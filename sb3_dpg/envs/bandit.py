"""The continuous bandit."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_dpg.common.checks import check_integer, check_real
from sb3_dpg.envs.rendering import refuse_rendering

# The paper's choice (Silver et al. 2014, section 5.1)
OPTIMUM = 4.0
EIGENVALUES = (0.1, 1.0)


class ContinuousBandit(gym.Env[np.ndarray, np.ndarray]):
    """
    The continuous bandit of Silver et al. 2014, section 5.1: no state, one step an episode, quadratic cost
    -r(a) = (a - a*)^T C (a - a*), where a* = (4, ..., 4) and C is positive definite with eigenvalues of {0.1, 1}.

    Half of the eigenvalues are 0.1 (the paper does not state how many). The observation is the constant 1, so that weights
    that multiply it are the policy's parameters: ``FlattenExtractor`` gives mu = theta.

    :param action_dim: m, the number of action dimensions
    :param max_action: Actions lie in [-max_action, max_action]; above 4
    :param matrix_seed: Seed of the orthogonal matrix that turns the eigenvectors of C
    :param render_mode: None, as it draws nothing; gymnasium's convention
    :raises TypeError: if an argument has the wrong type or ``render_mode`` is not None
    :raises ValueError: if an argument is out of its range
    """

    def __init__(
        self, action_dim: int = 10, max_action: float = 8.0, matrix_seed: int = 0, render_mode: str | None = None
    ) -> None:
        refuse_rendering(self, render_mode)
        check_integer("action_dim", action_dim, 1)
        check_real("max_action", max_action, OPTIMUM, low_open=True, high_open=True)
        check_integer("matrix_seed", matrix_seed, 0)
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-max_action, max_action, (action_dim,), np.float32)
        self.optimal_action = np.full(action_dim, OPTIMUM)
        eigenvalues = np.where(np.arange(action_dim) < action_dim // 2, *EIGENVALUES)
        generator = np.random.default_rng(matrix_seed)
        basis, _ = np.linalg.qr(generator.standard_normal((action_dim, action_dim)))
        self.cost_matrix = basis * eigenvalues @ basis.T

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        error = np.asarray(action, np.float64) - self.optimal_action
        return np.ones(1, np.float32), -float(error @ self.cost_matrix @ error), True, False, {}
