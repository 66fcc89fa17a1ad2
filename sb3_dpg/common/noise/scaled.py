"""A schedule for the scale of any SB3 action noise, for as many environments as there are."""

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterable

import numpy as np
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise

from sb3_dpg.common.noise.base import ScheduledNoise, numpys_seeds, without_wrapper
from sb3_dpg.common.noise.parameter import NoiseParameter, ParameterLike


class ScaledNoise(ScheduledNoise):
    """
    Any SB3 ``ActionNoise`` times a scale that may follow the progress of training, for one environment or many.

    There is one noise for each environment, made at the first draw. Give a function that makes it wherever it has a random
    generator or draws values in advance: if the function has a parameter ``rng`` without a value, as the classes of
    pink-noise-rl have, it gets a ``numpy.random.Generator`` of its own for each environment, seeded as all noise of this
    package. Noise that is given itself serves the first environment, and deep copies of it the others; that is right for SB3's
    own classes, which draw from NumPy's global generator.

    :param noise: The noise of one environment, or a function that makes it, called once more to learn its shape
    :param scale: Factor of its values, at least 0: a number, a schedule of the progress remaining, a schedule string such as
        ``"lin_1_0.1"``, or a sequence with one of these per action dimension
    :param n_envs: Number of environments
    :raises TypeError: if ``noise`` is neither an ``ActionNoise`` of one environment nor makes one
    :raises ValueError: if the scale is out of range or a length does not fit
    """

    def __init__(self, noise: ActionNoise | Callable[..., ActionNoise], scale: ParameterLike = 1.0, n_envs: int = 1) -> None:
        if isinstance(noise, ActionNoise):
            noise = without_wrapper(noise)
        if isinstance(noise, ScheduledNoise):
            raise TypeError(f"noise={noise!r} has schedules of its own: give the schedule to its sigma")
        self._given = noise
        #: The noise of each environment that has drawn
        self.noises: list[ActionNoise] = []
        # Not one of them: SB3 has not set its seed yet. Training's generator stays as it is
        state = np.random.get_state()
        self._example = copy.deepcopy(noise) if isinstance(noise, ActionNoise) else self._made(np.random.SeedSequence(0))
        action_shape = np.atleast_1d(copy.deepcopy(self._example)()).shape
        np.random.set_state(state)
        action_dim = math.prod(action_shape)
        self._scale = NoiseParameter.of("scale", scale, action_dim)
        self.scale = self._scale(1.0)
        # Second moment of the draws, for noise whose standard deviation is not known
        self._n_draws, self._sum_squares = 0, np.zeros(action_dim)
        super().__init__(action_shape, n_envs)

    def rescale(self, scale: ParameterLike) -> None:
        """Put another scale in the place of this one, as for the constructor."""
        self._scale = NoiseParameter.of("scale", scale, self.action_dim)
        self.update(self.progress_remaining)

    def _made(self, seeds: np.random.SeedSequence) -> ActionNoise:
        """Call the function, with a generator if it takes one."""
        make, made = self._given, None
        if callable(make) and not isinstance(make, ActionNoise):
            rng = inspect.signature(make).parameters.get("rng")
            takes_generator = rng is not None and rng.default in (None, rng.empty)
            made = make(rng=np.random.default_rng(seeds)) if takes_generator else make()
        if not isinstance(made, ActionNoise) or isinstance(made, ScheduledNoise) or without_wrapper(made) is not made:
            raise TypeError(
                "noise must be an SB3 ActionNoise of one environment or a function that makes one, not "
                f"{made if callable(make) else make!r}"
            )
        return made

    def _add_noise(self) -> None:
        """Add the noise of one more environment."""
        if isinstance(self._given, ActionNoise):
            self.noises.append(copy.deepcopy(self._given) if self.noises else self._given)
            if len(self.noises) > 1:
                _warn_if_alike(self._given, self.noises[-1])
        else:
            if self._seeds is None:
                self._seeds = numpys_seeds()
            self.noises.append(self._made(self._seeds.spawn(1)[0]))
        self.noises[-1].reset()

    def _resize_state(self, n_envs: int) -> None:
        self.noises = self.noises[:n_envs]

    def __call__(self) -> np.ndarray:
        while len(self.noises) < self.n_envs:
            self._add_noise()
        draw = np.stack([noise() for noise in self.noises]) if self.n_envs > 1 else self.noises[0]()
        rows = np.reshape(draw, (self.n_envs, self.action_dim)).astype(np.float64)
        self._n_draws += self.n_envs
        self._sum_squares += np.square(rows).sum(axis=0)
        return (self.scale * rows).astype(np.float32).reshape(np.shape(draw))

    def reset(self, indices: Iterable[int] | None = None) -> None:
        # Those that are not made yet start an episode when they are
        made = range(len(self.noises))
        for index in made if indices is None else {*indices}.intersection(made):
            self.noises[index].reset()

    def update(self, progress_remaining: float) -> None:
        super().update(progress_remaining)
        self.scale = self._scale(progress_remaining)

    @property
    def std(self) -> np.ndarray:
        """
        Current standard deviation per action dimension, of shape (action_dim,): the scale times that of the noise inside. It
        is exact for SB3's own noise; of other classes an attribute ``sigma`` is taken as the standard deviation (true of
        pink-noise-rl), and without one, the root mean square of the draws so far (NaN before the first).
        """
        inside = standard_deviation(self._given if isinstance(self._given, ActionNoise) else self._example)
        if inside is None:
            inside = np.sqrt(self._sum_squares / self._n_draws) if self._n_draws else np.full(self.action_dim, np.nan)
            inside = inside.reshape(self.action_shape)
        return self.scale * np.broadcast_to(inside, self.action_shape).reshape(-1)

    def _start_streams(self, seeds: np.random.SeedSequence | None) -> None:
        # Noise without a function has none: SB3's own draws from NumPy's global generator, which SB3's `seed=` sets
        self._seeds = seeds
        if not isinstance(self._given, ActionNoise):
            self.noises = []

    def continue_stream_of(self, other: ActionNoise) -> None:
        if other is not self and isinstance(other, ScaledNoise) and other._seeds is not None:
            # Spawned from, not drawn again: SB3 has set NumPy's seed again when it loaded the model
            self._start_streams(other._seeds)

    def __repr__(self) -> str:
        return f"ScaledNoise(noise={self._example!r}, scale={self.scale}, n_envs={self.n_envs})"


def standard_deviation(noise: ActionNoise) -> np.ndarray | None:
    """Standard deviation per action dimension of the noise of one environment, None if its class does not tell."""
    # Subclasses may clip, scale or mix
    if type(noise) is NormalActionNoise:
        return np.asarray(noise._sigma)
    if type(noise) is OrnsteinUhlenbeckActionNoise and 0 < noise._theta * noise._dt < 2:
        # Stationary law of the Euler steps x' = (1 - theta dt) x + sigma sqrt(dt) eps
        return np.asarray(noise._sigma) / np.sqrt(noise._theta * (2.0 - noise._theta * noise._dt))
    sigma = getattr(noise, "sigma", None)
    return None if sigma is None else np.asarray(sigma)


def _warn_if_alike(first: ActionNoise, other: ActionNoise) -> None:
    """Warn when the noise of two environments is the same although it changes in time."""
    state = np.random.get_state()
    first, other = copy.deepcopy(first), copy.deepcopy(other)
    now, then = first(), first()
    if np.array_equal(now, other()) and not np.array_equal(now, then):
        warnings.warn(
            f"copies of {first!r} give all environments the same noise: pass a function that makes it, called once per "
            "environment, in place of the noise",
            UserWarning,
            stacklevel=2,
        )
    np.random.set_state(state)
