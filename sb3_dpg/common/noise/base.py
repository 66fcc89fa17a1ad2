"""What all scheduled noise has in common: the number of environments, the random stream, copies and pickles."""

import copy
import functools
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise

from sb3_dpg.common.checks import check_integer


class ScheduledNoise(ActionNoise):
    """
    Action noise for one or many environments whose parameters may follow the progress of training.

    One call gives the noise of all environments: float32 of shape (action_dim,) for one environment, as SB3's noise has it,
    and (n_envs, action_dim) for more. SB3's algorithms may be given such a noise directly:

    - with ``n_envs=1`` it is a plain ``ActionNoise``. In more environments SB3 wraps it in its ``VectorizedActionNoise``,
      which makes one deep copy per environment; a deep copy gets a random stream of its own (see ``__deepcopy__``).
    - with ``n_envs > 1`` it passes as a ``VectorizedActionNoise`` (``isinstance`` says so), which SB3 does not wrap: one draw
      for all environments, and no loop.

    SB3 itself never calls :meth:`update`. Our algorithms do, and
    :class:`~sb3_dpg.common.callbacks.ActionNoiseCallback` does it for every other one, and fits ``n_envs`` as well.

    :param action_dim: Number of action dimensions
    :param n_envs: Number of environments
    :raises TypeError: if ``n_envs`` is not an integer
    :raises ValueError: if ``n_envs`` is smaller than 1
    """

    def __init__(self, action_dim: int, n_envs: int = 1) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.n_envs = 0
        self.progress_remaining = 1.0
        self.resize(n_envs)

    @property
    @abstractmethod
    def std(self) -> np.ndarray:
        """Current standard deviation per action dimension, of shape (action_dim,)."""

    @abstractmethod
    def seed(self, seed: int | None) -> None:
        """
        Start the random stream anew.

        :param seed: Seed; None takes one from NumPy's global generator at the next draw
        """

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

    def continue_stream_of(self, other: ActionNoise | None) -> None:
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
        self.__class__ = _class_for(_single_class(type(self)), n_envs)

    def _resize_state(self, n_envs: int) -> None:
        """
        :param n_envs: The new number of environments; ``self.n_envs`` is still the old one
        """

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # The class that passes as vectorised is made at run time: name the one it is made from
        return _blank, (_single_class(type(self)), self.n_envs), self.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScheduledNoise":
        """
        Copy the noise with its state, but give the copy an independent random stream.

        SB3 makes the noise of several environments by deep copies, which must not all explore the same way. Whoever wants
        the same path again pickles the noise instead: pickles, and so saved models, continue exactly where they were.

        :param memo: The objects that are copied already
        :return: The copy
        """
        duplicate = _blank(_single_class(type(self)), self.n_envs)
        memo[id(self)] = duplicate
        duplicate.__dict__.update(copy.deepcopy(self.__dict__, memo))
        duplicate._take_stream_from(self)
        return duplicate

    @abstractmethod
    def _take_stream_from(self, parent: "ScheduledNoise") -> None:
        """
        :param parent: The noise that this one is a deep copy of; its own path must not change
        """


def without_wrapper(noise: ActionNoise) -> ActionNoise:
    """
    :param noise: Action noise of one or many environments
    :return: What SB3's ``VectorizedActionNoise`` makes one copy of for each environment, if it is that; else the noise itself
    """
    if isinstance(noise, VectorizedActionNoise) and not isinstance(noise, ScheduledNoise):
        return noise.base_noise
    return noise


def numpys_seeds() -> np.random.SeedSequence:
    """
    :return: Seeds that are drawn from NumPy's global generator, the one that SB3's ``seed=`` sets
    """
    return np.random.SeedSequence(np.random.randint(0, 2**32, size=4, dtype=np.uint32).tolist())


def _single_class(noise_class: type[ScheduledNoise]) -> type[ScheduledNoise]:
    """
    :param noise_class: A class of noise
    :return: The class it has with one environment
    """
    return vars(noise_class).get("_single_class", noise_class)


@functools.cache
def _class_for(single_class: type[ScheduledNoise], n_envs: int) -> type[ScheduledNoise]:
    """
    SB3 asks ``isinstance(noise, VectorizedActionNoise)`` to know whether noise serves several environments already. The answer
    depends on ``n_envs``, hence the class does. It is registered, not derived, because SB3's class stores a list of copies.

    :param single_class: Class of the noise with one environment
    :param n_envs: Number of environments
    :return: That class, or its subclass which passes as vectorised
    """
    if n_envs == 1:
        return single_class
    if n_envs > 2:
        return _class_for(single_class, 2)
    attributes = {"__module__": single_class.__module__, "__doc__": single_class.__doc__, "_single_class": single_class}
    vectorized = cast(type[ScheduledNoise], ABCMeta(single_class.__name__, (single_class,), attributes))
    VectorizedActionNoise.register(vectorized)
    return vectorized


def _blank(single_class: type[ScheduledNoise], n_envs: int) -> ScheduledNoise:
    """
    :param single_class: Class of the noise with one environment
    :param n_envs: Number of environments
    :return: An object of the right class, to be filled by unpickling or copying
    """
    noise_class = _class_for(single_class, n_envs)
    return noise_class.__new__(noise_class)
