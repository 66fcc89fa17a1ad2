"""A schedule for the scale of any SB3 action noise, and as many independent copies as there are environments."""

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)

from sb3_dpg.common.noise.base import ScheduledNoise, numpys_seeds, without_wrapper
from sb3_dpg.common.noise.parameter import NoiseParameter, ParameterLike


class ScaledNoise(ScheduledNoise):
    """
    Any SB3 ``ActionNoise`` times a scale that may follow the progress of training, for one environment or many.

    The noise inside serves one environment; there is a copy of it for each environment, made so that the copies are
    independent: plain deep copies of noise with a generator of its own, or with values drawn in advance (pink-noise-rl has
    both), would explore alike in all environments. Noise that takes a generator as ``rng`` and was given none gets one at the
    first draw, seeded by NumPy's global generator as all noise of this package.

    :param noise: The noise inside, or a function without arguments that makes one, called once per environment
    :param scale: Factor of its values, at least 0: a number, a schedule of the progress remaining, a schedule string such as
        ``"lin_1_0.1"``, or a sequence with one of these per action dimension
    :param n_envs: Number of environments
    :raises TypeError: if ``noise`` is neither an ``ActionNoise`` nor makes one
    :raises ValueError: if the scale is out of range, a length does not fit, or copies of the noise are not independent
    """

    def __init__(self, noise: ActionNoise | Callable[[], ActionNoise], scale: ParameterLike = 1.0, n_envs: int = 1) -> None:
        if isinstance(noise, ActionNoise):
            noise = without_wrapper(noise)
        if isinstance(noise, ScheduledNoise):
            raise TypeError(f"noise={noise!r} has schedules of its own: give the schedule to its sigma")
        self._make = None if isinstance(noise, ActionNoise) else noise
        first = noise if isinstance(noise, ActionNoise) else self._made()
        self.noises: list[ActionNoise] = [first]
        self._seeds: np.random.SeedSequence | None = None
        action_dim = _action_dim(first)
        self._scale = NoiseParameter.of("scale", scale, action_dim)
        self.scale = self._scale(1.0)
        # Second moment of the draws, for noise whose standard deviation is not known
        self._n_draws, self._sum_squares = 0, np.zeros(action_dim)
        super().__init__(action_dim, n_envs)

    def rescale(self, scale: ParameterLike) -> None:
        """
        Put another scale in the place of this one.

        :param scale: As for the constructor
        :raises ValueError: if it is out of range or has the wrong length
        """
        self._scale = NoiseParameter.of("scale", scale, self.action_dim)
        self.update(self.progress_remaining)

    def _made(self) -> ActionNoise:
        """
        :return: What the function makes
        :raises TypeError: if it is not an action noise of one environment
        """
        made = self._make() if callable(self._make) else self._make
        if not isinstance(made, ActionNoise) or isinstance(made, ScheduledNoise | VectorizedActionNoise):
            raise TypeError(f"noise must be an SB3 ActionNoise of one environment or a function that makes one, not {made!r}")
        return made

    def _resize_state(self, n_envs: int) -> None:
        noises = self.noises[:n_envs]
        while len(noises) < n_envs:
            added = noises[0] if self._make is None else self._made()
            noises.append(self._copy(added) if self._make is None or self._seeds is not None else added)
            noises[-1].reset()
        if len(noises) > max(self.n_envs, 1):
            _warn_if_alike(noises[0], noises[-1])
        self.noises = noises
        self._has_generators = False

    def __call__(self) -> np.ndarray:
        """
        :return: The noise of all environments, float32 of shape (action_dim,) or (n_envs, action_dim)
        """
        if not self._has_generators:
            # Not before: SB3 has set the seed by now
            self.noises = [self._copy(noise) if _without_generator(noise) else noise for noise in self.noises]
            self._has_generators = True
        draw = np.stack([noise() for noise in self.noises]) if self.n_envs > 1 else self.noises[0]()
        rows = np.reshape(draw, (self.n_envs, self.action_dim)).astype(np.float64)
        self._n_draws += self.n_envs
        self._sum_squares += np.square(rows).sum(axis=0)
        return (self.scale * draw).astype(np.float32)

    def reset(self, indices: Iterable[int] | None = None) -> None:
        for index in range(self.n_envs) if indices is None else indices:
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
        inside = standard_deviation(self.noises[0])
        if inside is None:
            inside = np.sqrt(self._sum_squares / self._n_draws) if self._n_draws else np.full(self.action_dim, np.nan)
        return self.scale * np.broadcast_to(inside, (self.action_dim,))

    def seed(self, seed: int | None) -> None:
        """
        Start the generators anew that the noise inside holds or takes as ``rng``. SB3's own noise has none: it draws from
        NumPy's global generator, which SB3's ``seed=`` sets.

        :param seed: Seed; None takes one from NumPy's global generator
        """
        self._seeds = numpys_seeds() if seed is None else np.random.SeedSequence(seed)
        self.noises = [self._copy(noise) for noise in self.noises]

    def _copy(self, noise: ActionNoise) -> ActionNoise:
        """
        :param noise: Noise of one environment
        :return: A copy with random streams of its own
        """
        if self._seeds is None:
            self._seeds = numpys_seeds()
        # Kept and spawned from, not drawn again: SB3 sets NumPy's seed again when it loads a model
        return _copy_with_stream(noise, self._seeds.spawn(1)[0])

    def continue_stream_of(self, other: ActionNoise | None) -> None:
        if other is self or not isinstance(other, ScaledNoise):
            return
        generators = _generators(other.noises[0])
        if other._seeds is not None:
            self._seeds = other._seeds
        elif generators:
            # The other noise has been copied for nobody, and draws no more
            self._seeds = np.random.SeedSequence(generators[0].integers(0, 2**32, size=4).tolist())
        else:
            return
        self.noises = [self._copy(noise) for noise in self.noises]

    def _take_stream_from(self, parent: ScheduledNoise) -> None:
        assert isinstance(parent, ScaledNoise)
        self.noises = [parent._copy(noise) for noise in parent.noises]
        assert parent._seeds is not None
        self._seeds = parent._seeds.spawn(1)[0]

    def __repr__(self) -> str:
        return f"ScaledNoise(noise={self.noises[0]!r}, scale={self.scale}, n_envs={self.n_envs})"


def _action_dim(noise: ActionNoise) -> int:
    """
    :param noise: Noise of one environment
    :return: Its number of action dimensions, from a draw that a copy makes
    """
    return int(np.size(copy.deepcopy(noise)()))


def standard_deviation(noise: ActionNoise) -> np.ndarray | None:
    """
    :param noise: Noise of one environment
    :return: Its standard deviation per action dimension, or None if the class does not tell
    """
    if isinstance(noise, NormalActionNoise):
        return np.asarray(noise._sigma)
    if isinstance(noise, OrnsteinUhlenbeckActionNoise):
        # Stationary law of the Euler steps x' = (1 - theta dt) x + sigma sqrt(dt) eps
        return np.asarray(noise._sigma) / np.sqrt(noise._theta * (2.0 - noise._theta * noise._dt))
    sigma = getattr(noise, "sigma", None)
    return None if sigma is None else np.asarray(sigma)


def _parts(thing: Any, seen: dict[int, Any] | None = None) -> dict[int, Any]:
    """
    :param thing: An object
    :param seen: The parts that are known already
    :return: All objects it holds, in attributes, lists, tuples and dictionaries, itself included, by their identity
    """
    seen = {} if seen is None else seen
    if id(thing) not in seen:
        seen[id(thing)] = thing
        held = thing if isinstance(thing, list | tuple | dict) else getattr(thing, "__dict__", {})
        for part in held.values() if isinstance(held, Mapping) else held:
            _parts(part, seen)
    return seen


def _generators(noise: ActionNoise) -> list[np.random.Generator]:
    """
    :param noise: Noise of one environment
    :return: The generators that it holds
    """
    return [part for part in _parts(noise).values() if isinstance(part, np.random.Generator)]


def _without_generator(noise: ActionNoise) -> list[Any]:
    """
    :param noise: Noise of one environment
    :return: Those of its parts that take a generator as ``rng`` and have none
    """
    return [part for part in _parts(noise).values() if getattr(part, "__dict__", {}).get("rng", "none") is None]


def _copy_with_stream(noise: ActionNoise, seeds: np.random.SeedSequence) -> ActionNoise:
    """
    :param noise: Noise of one environment
    :param seeds: Seeds of the copy's generators
    :return: A copy whose generators are new and whose inner processes, if they can be reset, have drawn anew
    """
    generators = _generators(noise)
    new_streams = zip(generators, seeds.spawn(len(generators)), strict=True)
    duplicate = copy.deepcopy(noise, {id(generator): np.random.default_rng(child) for generator, child in new_streams})
    for part in _without_generator(duplicate):
        part.rng = np.random.default_rng(seeds.spawn(1)[0])
    for part in _parts(duplicate).values():
        if part is not duplicate and callable(getattr(part, "reset", None)) and not isinstance(part, type):
            part.reset()
    return duplicate


def _warn_if_alike(first: ActionNoise, other: ActionNoise) -> None:
    """
    Warn when the noise of two environments is the same although it changes in time.

    :param first: Noise of one environment
    :param other: Noise of another one
    """
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
