"""The linear-quadratic regulator."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike
from scipy.linalg import solve_discrete_are

from sb3_dpg.common.checks import check_real
from sb3_dpg.envs.rendering import refuse_rendering

# A double integrator: position and velocity, pushed by a force
DEFAULT_A = ((1.0, 0.1), (0.0, 1.0))
DEFAULT_B = ((0.0,), (0.1,))


class LQR(gym.Env[np.ndarray, np.ndarray]):
    """
    A linear system with quadratic cost: x' = A x + B a + e, -r = x^T Q x + a^T R a, e normal noise.

    The best policy is a = -K x, and ``optimal_gain`` gives K. Observations and actions are bounded, as features and policies
    need it; a state beyond its bound is put back on it. The optimum is exact as long as states and actions stay inside, so
    give bounds that they seldom reach. Episodes have no end of their own: the registered ``LQR-v0`` is
    truncated at 10 steps, so that states far from the origin are seen often; its states lie within 1.7, its actions within 6.

    :param A: State matrix, (n, n)
    :param B: Input matrix, (n, m)
    :param Q: State cost, (n, n), symmetric, positive semidefinite; None: identity
    :param R: Action cost, (m, m), symmetric, positive definite; None: 0.1 times the identity
    :param noise_std: Standard deviation of e, the same in each dimension
    :param initial_range: Episodes start uniformly in [-initial_range, initial_range]^n
    :param max_state: Observations lie in [-max_state, max_state]^n
    :param max_action: Actions lie in [-max_action, max_action]^m
    :param render_mode: None, as it draws nothing; gymnasium's convention
    :raises TypeError: if a number has the wrong type or ``render_mode`` is not None
    :raises ValueError: if shapes do not fit, Q or R is not (semi)definite, or a number is out of its range
    """

    def __init__(
        self,
        A: ArrayLike = DEFAULT_A,  # the field's symbols
        B: ArrayLike = DEFAULT_B,
        Q: ArrayLike | None = None,
        R: ArrayLike | None = None,
        noise_std: float = 0.01,
        initial_range: float = 1.0,
        max_state: float = 4.0,
        max_action: float = 4.0,
        render_mode: str | None = None,
    ) -> None:
        refuse_rendering(self, render_mode)
        check_real("noise_std", noise_std, 0.0, high_open=True)
        check_real("initial_range", initial_range, 0.0, low_open=True, high_open=True)
        check_real("max_state", max_state, initial_range, high_open=True)
        check_real("max_action", max_action, 0.0, low_open=True, high_open=True)
        self.A, self.B = np.asarray(A, np.float64), np.asarray(B, np.float64)
        if not (np.isfinite(self.A).all() and np.isfinite(self.B).all()):
            raise ValueError(f"A={self.A.tolist()} and B={self.B.tolist()} must be finite")
        if self.A.ndim != 2 or self.A.shape[0] != self.A.shape[1]:
            raise ValueError(f"A must be a square matrix, its shape is {self.A.shape}")
        n = len(self.A)
        if self.B.ndim != 2 or len(self.B) != n:
            raise ValueError(f"B must be a matrix of {n} row(s), as A has, its shape is {self.B.shape}")
        m = self.B.shape[1]
        self.Q = symmetric("Q", np.eye(n) if Q is None else Q, n, definite=False)
        self.R = symmetric("R", 0.1 * np.eye(m) if R is None else R, m, definite=True)
        self.noise_std, self.initial_range = noise_std, initial_range
        self.max_state, self.max_action = max_state, max_action
        self.observation_space = spaces.Box(-max_state, max_state, (n,), np.float32)
        self.action_space = spaces.Box(-max_action, max_action, (m,), np.float32)
        self.state = np.zeros(n)

    def optimal_gain(self, gamma: float = 1.0) -> np.ndarray:
        """
        K of the best policy a = -K x for the discounted cost, from the discrete algebraic Riccati equation. Discounting by
        gamma is the undiscounted problem with sqrt(gamma) A and sqrt(gamma) B.

        :param gamma: Discount factor, in (0, 1]
        :return: K, (m, n)
        :raises ValueError: if gamma is out of its range, or no gain stabilises the system
        """
        check_real("gamma", gamma, 0.0, 1.0, low_open=True)
        root = np.sqrt(gamma)
        try:
            cost_to_go = solve_discrete_are(root * self.A, root * self.B, self.Q, self.R)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"A={self.A.tolist()} and B={self.B.tolist()}: no gain stabilises the system ({error})"
            ) from error
        return gamma * np.linalg.solve(self.R + gamma * self.B.T @ cost_to_go @ self.B, self.B.T @ cost_to_go @ self.A)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-self.initial_range, self.initial_range, len(self.A))
        return self.state.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        action = np.asarray(action, np.float64)
        cost = self.state @ self.Q @ self.state + action @ self.R @ action
        noise = self.noise_std * self.np_random.standard_normal(len(self.A))
        self.state = np.clip(self.A @ self.state + self.B @ action + noise, -self.max_state, self.max_state)
        return self.state.astype(np.float32), -float(cost), False, False, {}


def symmetric(name: str, value: ArrayLike, size: int, definite: bool) -> np.ndarray:
    """The matrix, (size, size), if it is symmetric and positive definite, or semidefinite where that will do."""
    matrix = np.asarray(value, np.float64)
    if matrix.shape != (size, size):
        raise ValueError(f"{name} must be of the shape {(size, size)}, its shape is {matrix.shape}")
    smallest = np.linalg.eigvalsh(matrix)[0] if np.allclose(matrix, matrix.T) else -np.inf
    if smallest < -1e-9 or (definite and smallest <= 0.0):
        raise ValueError(f"{name} must be symmetric and positive {'' if definite else 'semi'}definite, not {matrix.tolist()}")
    return matrix
