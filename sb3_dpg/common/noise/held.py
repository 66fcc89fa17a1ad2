"""Offsets that are held for many steps, and the sum of several noises."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from stable_baselines3.common.noise import ActionNoise

from sb3_dpg.common.checks import check_integer
from sb3_dpg.common.noise.base import ScheduledNoise, kept_rows
from sb3_dpg.common.noise.parameter import NoiseParameter, ParameterLike, is_sequence
from sb3_dpg.common.noise.processes import ProcessNoise


class HeldNoise(ProcessNoise):
    """
    Offsets that are held: mostly 0, but at times a random offset that stays for many steps.

    In a step in which none is held, one begins with a given probability. It lasts for 1 to ``longest`` steps, all equally
    likely, or until the episode ends. It finds what needs the same push for dozens of steps, which noise around 0 hardly ever
    gives. After temporally extended epsilon-greedy exploration (Dabney et al. 2021, https://arxiv.org/abs/2006.01782), where
    durations are heavy-tailed and the random action is taken in place of the policy's, not added to it.

    :param action_shape: Shape of an action, or the number of its dimensions
    :param probability: Probability in [0, 1] that an offset begins: a number, a schedule of the progress remaining, or a
        schedule string such as ``"lin_0.02_0_0.5"``
    :param size: The offset is uniform in [-size, size], at least 0: as the probability, or a sequence with one of these per
        action dimension. None for 1.5 / action_dim: the more joints are pushed at once, the sooner a robot falls
    :param longest: Steps that an offset lasts at most
    :param n_envs: Number of environments drawn for at once
    :param seed: Seed of the noise's own random stream. None: drawn from NumPy's global generator at the first draw, which is
        the one that SB3's ``seed=`` sets
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range or a length does not fit
    """

    def __init__(
        self,
        action_shape: int | tuple[int, ...],
        probability: ParameterLike,
        size: ParameterLike | None = None,
        longest: int = 80,
        n_envs: int = 1,
        seed: int | None = None,
    ) -> None:
        shape = action_shape if isinstance(action_shape, tuple) else (action_shape,)
        for length in shape:
            check_integer("action_shape", length, 1)
        check_integer("longest", longest, 1)
        # Of each environment: steps that are left of its offset, and the offset; `resize` makes the first ones
        self._steps_left, self._offsets = np.zeros(0, dtype=int), np.zeros((0, math.prod(shape)))
        super().__init__(np.zeros(shape), n_envs, seed)
        self.longest = longest
        if is_sequence(probability):
            raise ValueError(f"probability={probability!r} must be one number or schedule for all action dimensions")
        self._probability = NoiseParameter("probability", probability, 1, high=1.0)
        self._size = NoiseParameter("size", 1.5 / self.action_dim if size is None else size, self.action_dim)
        self._parameters = (self._probability, self._size)
        self._set_coefficients()

    def __call__(self) -> np.ndarray:
        random = self._generator or self._stream()
        beginning = (random.random(self.n_envs) < self.probability) & (self._steps_left == 0)
        if beginning.any():
            n_beginning = beginning.sum()
            self._steps_left[beginning] = random.integers(1, self.longest, n_beginning, endpoint=True)
            self._offsets[beginning] = random.uniform(-self.size, self.size, (n_beginning, self.action_dim))
        is_held = self._steps_left > 0
        self._steps_left -= is_held
        return (self._offsets * is_held[:, None]).astype(np.float32).reshape(self._noise_shape)

    def reset(self, indices: Iterable[int] | None = None) -> None:
        self._steps_left[slice(None) if indices is None else list(indices)] = 0

    def _resize_state(self, n_envs: int) -> None:
        super()._resize_state(n_envs)
        self._steps_left, self._offsets = kept_rows(self._steps_left, n_envs), kept_rows(self._offsets, n_envs)

    def _set_coefficients(self) -> None:
        self.probability = float(self._probability(self.progress_remaining)[0])
        self.size = self._size(self.progress_remaining)

    @property
    def std(self) -> np.ndarray:
        """Current standard deviation per action dimension, of shape (action_dim,), far from an episode's start."""
        mean_length = (self.longest + 1) / 2
        share_held = self.probability * mean_length / (1.0 + self.probability * (mean_length - 1.0))
        return self.size * np.sqrt(share_held / 3.0)

    def __repr__(self) -> str:
        return (
            f"HeldNoise(action_shape={self.action_shape}, probability={self.probability}, size={self.size}, "
            f"longest={self.longest}, n_envs={self.n_envs})"
        )


class SummedNoise(ScheduledNoise):
    """
    The sum of several noises, which are fitted to the number of environments together.

    :param noises: The noises, independent of each other
    :param n_envs: Number of environments
    :raises TypeError: if one of them is not a :class:`ScheduledNoise`
    :raises ValueError: if there are none, their actions are of several shapes, or one of them is there twice
    """

    def __init__(self, noises: Sequence[ScheduledNoise], n_envs: int = 1) -> None:
        if not all(isinstance(noise, ScheduledNoise) for noise in noises):
            raise TypeError(f"noises={noises!r} must all be noise of this package: put SB3's into a ScaledNoise")
        if len({noise.action_shape for noise in noises}) != 1:
            raise ValueError(f"noises={noises!r} must be one or more, all for actions of the same shape")
        if len({id(noise) for noise in noises}) < len(noises):
            raise ValueError(f"noises={noises!r} must be independent of each other: one of them is there twice")
        self.noises = list(noises)
        super().__init__(noises[0].action_shape, n_envs)

    def __call__(self) -> np.ndarray:
        return sum(noise() for noise in self.noises)  # type: ignore[return-value]

    @property
    def std(self) -> np.ndarray:
        """Current standard deviation per action dimension, of shape (action_dim,)."""
        return np.sqrt(sum(np.square(noise.std) for noise in self.noises))

    def _start_streams(self, seeds: np.random.SeedSequence | None) -> None:
        n_noises = len(self.noises)
        own_seeds = [None] * n_noises if seeds is None else seeds.generate_state(n_noises)
        for noise, own_seed in zip(self.noises, own_seeds, strict=True):
            noise.seed(own_seed)

    def update(self, progress_remaining: float) -> None:
        super().update(progress_remaining)
        for noise in self.noises:
            noise.update(progress_remaining)

    def reset(self, indices: Iterable[int] | None = None) -> None:
        indices = None if indices is None else list(indices)
        for noise in self.noises:
            noise.reset(indices)

    def continue_stream_of(self, other: ActionNoise) -> None:
        others = other.noises if isinstance(other, SummedNoise) else [other]
        for noise, other_noise in zip(self.noises, others, strict=False):
            noise.continue_stream_of(other_noise)

    def _resize_state(self, n_envs: int) -> None:
        for noise in self.noises:
            noise.resize(n_envs)

    def __repr__(self) -> str:
        return f"SummedNoise({self.noises!r}, n_envs={self.n_envs})"
