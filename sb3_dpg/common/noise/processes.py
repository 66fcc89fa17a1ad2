"""Gaussian and Ornstein-Uhlenbeck noise, drawn for all environments at once."""

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from stable_baselines3.common.noise import ActionNoise

from sb3_dpg.common.checks import check_real
from sb3_dpg.common.noise.base import ScheduledNoise, kept_rows, numpys_seeds
from sb3_dpg.common.noise.parameter import NoiseParameter, ParameterLike, is_sequence

_INITIAL = ("zero", "stationary")


class ProcessNoise(ScheduledNoise):
    """Noise that draws from a ``numpy.random.Generator`` of its own; its parameters are those of the subclasses."""

    _parameters: tuple[NoiseParameter, ...]

    def __init__(self, mean: ArrayLike, n_envs: int, seed: int | None) -> None:
        try:
            shaped = np.atleast_1d(np.asarray(mean, dtype=np.float64))
        except (TypeError, ValueError):
            shaped = np.zeros(0)
        if not shaped.size or not np.isfinite(shaped).all():
            raise ValueError(f"mean={mean!r} must be finite numbers, one per action dimension, such as numpy.zeros(2)")
        self.mean = shaped.reshape(-1)
        super().__init__(shaped.shape, n_envs)
        self.seed(seed)

    def _start_streams(self, seeds: np.random.SeedSequence | None) -> None:
        self._seeds = seeds
        self._generator = None if seeds is None else np.random.default_rng(seeds)

    def _stream(self) -> np.random.Generator:
        """The random stream, which is seeded here if it is not yet."""
        if self._generator is None:
            self._seeds = numpys_seeds()
            self._generator = np.random.default_rng(self._seeds)
        return self._generator

    def continue_stream_of(self, other: ActionNoise) -> None:
        # The process of a SummedNoise comes first
        other = (getattr(other, "noises", None) or [other])[0]
        if isinstance(other, ProcessNoise):
            self._seeds, self._generator = other._seeds, other._generator

    def update(self, progress_remaining: float) -> None:
        if progress_remaining != self.progress_remaining:
            super().update(progress_remaining)
            if not all(parameter.constant for parameter in self._parameters):
                self._set_coefficients()

    @abstractmethod
    def _set_coefficients(self) -> None:
        """Compute what a draw needs from the parameters at ``self.progress_remaining``, once for many draws."""

    def _resize_state(self, n_envs: int) -> None:
        environments = () if n_envs == 1 else (n_envs,)
        self._draw_shape, self._noise_shape = (*environments, self.action_dim), (*environments, *self.action_shape)


class GaussianNoise(ProcessNoise):
    """
    White Gaussian noise: a = mean + sigma eps, independent in each step, environment and action dimension.

    :param mean: Mean, a number or one per action dimension: its shape is that of an action
    :param sigma: Standard deviation, at least 0: a number, a schedule of the progress remaining, a schedule string such as
        ``"lin_0.5_0.05"``, or a sequence with one of these per action dimension
    :param n_envs: Number of environments drawn for at once
    :param seed: Seed of the noise's own random stream. None: drawn from NumPy's global generator at the first draw, which is
        the one that SB3's ``seed=`` sets
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if sigma is negative or not finite, or a length does not fit
    """

    def __init__(self, mean: ArrayLike, sigma: ParameterLike, n_envs: int = 1, seed: int | None = None) -> None:
        super().__init__(mean, n_envs, seed)
        self._sigma = NoiseParameter.of("sigma", sigma, self.action_dim)
        self._parameters = (self._sigma,)
        self._set_coefficients()

    def __call__(self) -> np.ndarray:
        draw = (self._generator or self._stream()).standard_normal(self._draw_shape)
        return (self.mean + self.sigma * draw).astype(np.float32).reshape(self._noise_shape)

    @property
    def std(self) -> np.ndarray:
        return self.sigma.copy()

    def _set_coefficients(self) -> None:
        self.sigma = self._sigma(self.progress_remaining)

    def __repr__(self) -> str:
        return f"GaussianNoise(mean={self.mean}, sigma={self.sigma}, n_envs={self.n_envs})"


class OrnsteinUhlenbeckNoise(ProcessNoise):
    r"""
    Ornstein-Uhlenbeck noise (Uhlenbeck and Ornstein 1930), the exploration noise of the DDPG paper (arXiv 1509.02971).

    The process is dx = theta (mean - x) dt + sigma dW. A step of length dt has an exact solution (Gillespie 1996), which is
    what is drawn here, whatever dt:

        x' = mean + (x - mean) e^{-theta dt} + sigma sqrt((1 - e^{-2 theta dt}) / (2 theta)) eps,  eps ~ N(0, 1)

    SB3's ``OrnsteinUhlenbeckActionNoise`` takes Euler steps of dt = 0.01 instead; here dt = 1, the paper's process. The values
    settle at the standard deviation sigma / sqrt(2 theta) and forget their past within 1 / (theta dt) steps. The same process
    as a low-pass filter of white noise, x' = lambda x + sigma' eps, is made by :meth:`from_autoregressive`, and by its
    stationary standard deviation in :meth:`from_stationary`.

    When sigma or theta are scheduled, x itself is left alone and moves to the new law within the correlation time.

    :param mean: Mean, a number or one per action dimension: its shape is that of an action
    :param sigma: Diffusion coefficient (the sigma of sigma dW), at least 0, in action units per square root of time: a number,
        a schedule of the progress remaining, a schedule string such as ``"lin_0.5_0.05"``, or a sequence with one of these per
        action dimension. NOT the standard deviation of the noise
    :param theta: Rate of the return to the mean, greater than 0, per unit of time: as sigma
    :param dt: Time between two draws, greater than 0
    :param n_envs: Number of environments drawn for at once
    :param initial: The state before the first draw of an episode: ``"zero"``, as in SB3 and the paper, or ``"stationary"``, a
        draw from the stationary law, so that the first steps of an episode explore as much as the others
    :param seed: Seed of the noise's own random stream. None: drawn from NumPy's global generator at the first draw, which is
        the one that SB3's ``seed=`` sets
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range or a length does not fit
    """

    def __init__(
        self,
        mean: ArrayLike,
        sigma: ParameterLike,
        theta: ParameterLike = 0.15,
        dt: float = 1.0,
        n_envs: int = 1,
        initial: str = "zero",
        seed: int | None = None,
    ) -> None:
        check_real("dt", dt, 0.0, low_open=True, high_open=True)
        if initial not in _INITIAL:
            raise ValueError(f"initial={initial!r} is not known: it must be one of {_INITIAL}")
        # x - mean, and which environments have their state drawn before their next step; `resize` makes the first ones
        self._deviation = np.zeros(0)
        self._starting = np.zeros(0, dtype=bool)
        super().__init__(mean, n_envs, seed)
        self.dt = float(dt)
        self.initial = initial
        self._sigma = NoiseParameter.of("sigma", sigma, self.action_dim)
        self._theta = NoiseParameter.of("theta", theta, self.action_dim, positive=True)
        self._parameters = (self._sigma, self._theta)
        self._set_coefficients()

    @classmethod
    def from_autoregressive(
        cls,
        lambda_: float | ArrayLike,
        sigma: ParameterLike,
        mean: ArrayLike | None = None,
        n_envs: int = 1,
        initial: str = "zero",
        seed: int | None = None,
    ) -> "OrnsteinUhlenbeckNoise":
        """
        The process in its autoregressive form, x' = mean + lambda (x - mean) + sigma' eps; what is not listed is as for the
        constructor.

        :param lambda_: Coefficient lambda, the correlation of two successive values, in (0, 1): a number or one per action
            dimension. (0 is white noise: use :class:`GaussianNoise`)
        :param sigma: Standard deviation sigma' of the white noise that enters in each step, at least 0; the noise that comes
            out has sigma' / sqrt(1 - lambda^2). A number, a schedule, a schedule string, or a sequence of these
        :param mean: Mean; None for 0 in as many dimensions as the longer of the two sequences has (one, if both are numbers)
        :return: The noise, with dt = 1 and theta = -ln(lambda)
        """
        theta = theta_from_lambda(lambda_)
        mean = _default_mean(lambda_, sigma) if mean is None else mean
        input_std = NoiseParameter("sigma", sigma, np.size(mean))
        diffusion = input_std.times(np.sqrt(2.0 * theta / -np.expm1(-2.0 * theta)))
        return cls(mean, diffusion, theta.tolist(), 1.0, n_envs, initial, seed)

    @classmethod
    def from_stationary(
        cls,
        std: ParameterLike,
        theta: ArrayLike = 0.15,
        dt: float = 1.0,
        mean: ArrayLike | None = None,
        n_envs: int = 1,
        initial: str = "zero",
        seed: int | None = None,
    ) -> "OrnsteinUhlenbeckNoise":
        """
        The process by the standard deviation that one sees, sigma = std sqrt(2 theta); what is not listed is as for the
        constructor.

        :param std: Stationary standard deviation of the noise, at least 0: a number, a schedule, a schedule string, or a
            sequence of these
        :param theta: As for the constructor, but not scheduled: a number or one per action dimension
        :param mean: Mean; None for 0 in as many dimensions as the longer of the two sequences has (one, if both are numbers)
        :return: The noise
        """
        rate = _constant_in("theta", theta, np.inf)
        mean = _default_mean(theta, std) if mean is None else mean
        action_dim = np.size(mean)
        diffusion = NoiseParameter("std", std, action_dim).times(np.sqrt(2.0 * rate))
        return cls(mean, diffusion, rate.tolist(), dt, n_envs, initial, seed)

    def __call__(self) -> np.ndarray:
        if self._any_starting:
            self._start()
        # Not in place: NumPy takes four times as long for that on arrays of one element
        draw = (self._generator or self._stream()).standard_normal(self._draw_shape)
        self._deviation = self.lambda_ * self._deviation + self._step_std * draw
        return (self.mean + self._deviation).astype(np.float32).reshape(self._noise_shape)

    def reset(self, indices: Iterable[int] | None = None) -> None:
        self._starting[slice(None) if indices is None else list(indices)] = True
        self._any_starting = bool(self._starting.any())

    def _start(self) -> None:
        """Put the environments whose episode is new at their initial state."""
        rows = self._deviation.reshape(self.n_envs, self.action_dim)
        if self.initial == "zero":
            rows[self._starting] = -self.mean
        else:
            # Not at once in `reset`: the noise is built, and reset, before the algorithm sets SB3's seed
            rows[self._starting] = self.std * self._stream().standard_normal((self._starting.sum(), self.action_dim))
        self._starting[:] = False
        self._any_starting = False

    def _resize_state(self, n_envs: int) -> None:
        super()._resize_state(n_envs)
        rows = self._deviation.reshape(self.n_envs, self.action_dim)
        self._deviation = kept_rows(rows, n_envs).reshape(self._draw_shape)
        self._starting = kept_rows(self._starting, n_envs)
        self._starting[self.n_envs :] = True
        self._any_starting = bool(self._starting.any())

    def _set_coefficients(self) -> None:
        self.sigma = self._sigma(self.progress_remaining)
        self.theta = self._theta(self.progress_remaining)
        self.lambda_ = np.exp(-self.theta * self.dt)
        self.stationary_std = self.sigma / np.sqrt(2.0 * self.theta)
        # sqrt(1 - lambda^2), without cancellation for small theta dt
        self._step_std = self.stationary_std * np.sqrt(-np.expm1(-2.0 * self.theta * self.dt))

    @property
    def std(self) -> np.ndarray:
        """Current stationary standard deviation, sigma / sqrt(2 theta), per action dimension, of shape (action_dim,)."""
        return self.stationary_std.copy()

    def __repr__(self) -> str:
        return (
            f"OrnsteinUhlenbeckNoise(mean={self.mean}, sigma={self.sigma}, theta={self.theta}, dt={self.dt}, "
            f"n_envs={self.n_envs}, initial={self.initial!r})"
        )


def theta_from_lambda(lambda_: ArrayLike) -> np.ndarray:
    """The rate theta = -ln(lambda) of the same process with dt = 1, for an autoregressive coefficient in (0, 1)."""
    return -np.log(_constant_in("lambda", lambda_, 1.0))


def _constant_in(name: str, value: ArrayLike, high: float) -> np.ndarray:
    """The value, a number or a sequence of numbers in the open interval (0, high), as an array."""
    try:
        if callable(value):
            raise TypeError("it is a schedule")
        if any(isinstance(entry, bool | np.bool_) for entry in np.ravel(np.asarray(value, dtype=object))):
            raise TypeError("it is true or false")
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name}={value!r} must be a number or one per action dimension, such as 0.9 ({error}); a scheduled theta goes "
            "into the constructor, OrnsteinUhlenbeckNoise(mean, sigma, theta)"
        ) from error
    if not ((array > 0) & (array < high)).all():
        hint = "; for lambda = 0, white noise, use GaussianNoise (type: normal)" if high == 1.0 else ""
        raise ValueError(f"{name}={value!r} is out of range: it must lie in (0, {high:g}), such as 0.9{hint}")
    return array


def _default_mean(*parameters: ParameterLike | ArrayLike) -> np.ndarray:
    """Zeros, as many as the longest sequence has entries, or one."""
    return np.zeros(max(len(value) if is_sequence(value) else 1 for value in parameters))  # type: ignore[arg-type]
