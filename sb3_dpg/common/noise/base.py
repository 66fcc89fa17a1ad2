"""What all scheduled noise has in common: the number of environments, the random stream, copies."""

import copy
import math
from abc import abstractmethod
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)

from sb3_dpg.common.checks import check_integer


class ScheduledNoise(ActionNoise):
    """
    Action noise for one or many environments whose parameters may follow the progress of training.

    One call gives the noise of all environments: float32 of the shape of an action for one environment, as SB3's noise has it,
    and ``(n_envs, *action_shape)`` for more. Parameters, given or read, are those of a flattened action.

    Our algorithms, and :class:`~sb3_dpg.common.callbacks.ActionNoiseCallback` for every other one, fit ``n_envs`` to the
    environment and call :meth:`update` before each step. SB3 alone does neither. Given such a noise and several environments
    it makes a deep copy for each of them, and a deep copy serves one environment and has a random stream of its own.

    :param action_shape: Shape of an action
    :param n_envs: Number of environments
    :raises TypeError: if ``n_envs`` is not an integer
    :raises ValueError: if ``n_envs`` is smaller than 1
    """

    #: What the random streams were started from; None until noise without a seed has drawn
    _seeds: np.random.SeedSequence | None = None

    def __init__(self, action_shape: tuple[int, ...], n_envs: int = 1) -> None:
        super().__init__()
        self.action_shape = action_shape
        self.action_dim = math.prod(action_shape)
        self.n_envs = 0
        self.progress_remaining = 1.0
        self.resize(n_envs)

    @property
    @abstractmethod
    def std(self) -> np.ndarray:
        """Current standard deviation per action dimension, of shape (action_dim,)."""

    def seed(self, seed: int | None) -> None:
        """
        Start the random stream anew.

        :param seed: Seed; None takes one from NumPy's global generator at the next draw
        """
        if seed is not None:
            check_integer("seed", seed, 0)
        self._start_streams(None if seed is None else np.random.SeedSequence(int(seed)))

    @abstractmethod
    def _start_streams(self, seeds: np.random.SeedSequence | None) -> None:
        """Start all random streams anew; None: from NumPy's global generator at the next draw."""

    def update(self, progress_remaining: float) -> None:
        """
        Set the parameters to their scheduled values; the state of the noise stays.

        :param progress_remaining: 1 at the start of training, 0 at its end
        """
        self.progress_remaining = progress_remaining

    def reset(self, indices: Iterable[int] | None = None) -> None:
        """
        Start a new episode.

        :param indices: The environments whose episode ended; None for all
        """

    def continue_stream_of(self, other: ActionNoise) -> None:
        """
        Go on with the random stream of the noise that this one replaces, if it is of the same kind: training that is resumed
        shall not repeat the draws of its first part, although SB3 sets NumPy's seed again when it loads a model.

        :param other: The noise that is replaced
        """

    def resize(self, n_envs: int) -> None:
        """
        Change the number of environments. Those that remain keep their state, new ones start an episode.

        :param n_envs: Number of environments
        :raises TypeError: if it is not an integer
        :raises ValueError: if it is smaller than 1
        """
        check_integer("n_envs", n_envs, 1)
        self._resize_state(n_envs)
        self.n_envs = n_envs

    def _resize_state(self, n_envs: int) -> None:
        """Make room for ``n_envs`` environments; ``self.n_envs`` is still the old number."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScheduledNoise":
        # SB3 makes the noise of several environments by deep copies, which must not all explore the same way. Pickles, and so
        # saved models, continue exactly where they were
        duplicate = type(self).__new__(type(self))
        memo[id(self)] = duplicate
        duplicate.__dict__.update(copy.deepcopy(self.__dict__, memo))
        # Nothing has drawn where there are no seeds; a sum has none, its noises took their own
        if self._seeds is not None:
            duplicate._start_streams(self._seeds.spawn(1)[0])
        duplicate.resize(1)
        return duplicate


def without_wrapper(noise: ActionNoise) -> ActionNoise:
    """What SB3's ``VectorizedActionNoise`` makes one copy of for each environment, if it is that; else the noise itself."""
    return noise.base_noise if isinstance(noise, VectorizedActionNoise) else noise


def kept_rows(rows: np.ndarray, n_envs: int) -> np.ndarray:
    """The state of the environments that remain, and zeros for those that are new: a row for each."""
    kept = np.zeros((n_envs, *rows.shape[1:]), rows.dtype)
    kept[: len(rows)] = rows[:n_envs]
    return kept


def numpys_seeds() -> np.random.SeedSequence:
    """Seeds that are drawn from NumPy's global generator, the one that SB3's ``seed=`` sets."""
    return np.random.SeedSequence(np.random.randint(0, 2**32, size=4, dtype=np.uint32).tolist())


def check_action_noise(noise: ActionNoise | None, action_shape: tuple[int, ...]) -> None:
    """
    Refuse SB3 noise of a negative scale, and noise of a shape other than the action's.

    :param noise: The noise, of whatever class; classes whose scale is unknown are accepted as they are
    :param action_shape: Shape of an action
    :raises TypeError: if it is not an SB3 ``ActionNoise``
    :raises ValueError: if its scale is negative or its shape does not fit the actions
    """
    if noise is None:
        return
    if not isinstance(noise, ActionNoise):
        raise TypeError(f"action_noise must be an SB3 ActionNoise, a specification or None, not {noise!r}")
    noise = without_wrapper(noise)
    if isinstance(noise, NormalActionNoise | OrnsteinUhlenbeckActionNoise):
        mean, sigma = np.asarray(noise._mu), np.asarray(noise._sigma)
        if np.any(sigma < 0):
            raise ValueError(f"action_noise={noise} has a negative sigma: every entry must be at least 0")
        try:
            shape, fitting = np.broadcast_shapes(mean.shape, sigma.shape), [(1,), action_shape]
        except ValueError as error:
            raise ValueError(f"action_noise={noise} has a mean and a sigma of different shapes: {error}") from error
    elif isinstance(action_dim := getattr(noise, "action_dim", None), Integral):
        # It knows for how many dimensions it is: one draw for all of several would be a mistake, not a wish
        shape, fitting = getattr(noise, "action_shape", (int(action_dim),)), [action_shape]
    else:
        return
    if shape not in fitting:
        raise ValueError(
            f"action_noise={noise} has shape {shape}: the environment's actions have shape {action_shape}; give it a mean of "
            f"that shape, such as numpy.zeros({action_shape})"
        )
