"""The Fourier, polynomial and radial bases, and what all bases have in common: observations scaled by their bounds."""

from itertools import combinations, combinations_with_replacement, product
from math import comb, pi

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import ArrayLike
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_dpg.common.checks import check_integer, check_real

# float32's largest number is what some environments write where they mean "unbounded"
UNBOUNDED = 1e30
# A basis larger than this is a mistake in its settings, and would be found out by the memory running full
MAX_FEATURES = 10_000_000


def observation_bounds(
    observation_space: spaces.Space, low: ArrayLike | None, high: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """
    Lower and upper bounds of the flattened observation, each (observation_dim,): those that are given, and the space's where
    none are. Of images these are 0 and 1, as SB3 divides them by 255 before features see them (where it does not, with
    ``normalize_images=False``, give the bounds).
    """
    if not isinstance(observation_space, spaces.Box):
        raise TypeError(
            f"observation_space={observation_space} has no bounds to scale by: these features need a Box "
            "(for discrete observations use SB3's FlattenExtractor, which makes them one-hot)"
        )
    size = int(np.prod(observation_space.shape))
    own = (0.0, 1.0) if is_image_space(observation_space) else (observation_space.low, observation_space.high)
    bounds = []
    for name, given, default in (("low", low, own[0]), ("high", high, own[1])):
        try:
            value = np.asarray(default if given is None else given, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}={given!r} must be a number or one number per dimension of the observation") from error
        if value.size not in (1, size):
            raise ValueError(f"{name}={given!r} has {value.size} entries: the observation has {size} dimension(s)")
        bounds.append(np.broadcast_to(value, (size,)))
    lower, upper = bounds
    unbounded = np.flatnonzero(~((np.abs(lower) < UNBOUNDED) & (np.abs(upper) < UNBOUNDED)))
    if unbounded.size:
        raise ValueError(
            f"dimension(s) {unbounded.tolist()} of the observation are unbounded in {observation_space}: give bounds by "
            "low= and high= (in policy_kwargs: features_extractor_kwargs=dict(low=..., high=...)), such as -3 and 3 where "
            "VecNormalize normalises; COPDACQ takes these by itself"
        )
    # The reciprocal of the range has to be a float32
    empty = np.flatnonzero(~(upper - lower > 1 / UNBOUNDED))
    if empty.size:
        raise ValueError(
            f"low={lower[empty]} must be below high={upper[empty]}, by more than {1 / UNBOUNDED:g} "
            f"(dimension(s) {empty.tolist()} of the observation)"
        )
    return lower, upper


def check_features_dim(name: str, features_dim: int, advice: str) -> None:
    """Refuse a basis that is too large before its memory is asked for."""
    if features_dim > MAX_FEATURES:
        raise ValueError(f"{name} would have {features_dim:,} features, more than {MAX_FEATURES:,}: {advice}")


class BoundedFeatures(BaseFeaturesExtractor):
    """
    Base of the features that scale each dimension of the observation by its bounds.

    Observations beyond the bounds count as lying on them. Where ``VecNormalize`` normalises, the space has the bounds of
    before: ``COPDACQ`` takes -3 and 3 in their place by itself, elsewhere give ``low`` and ``high``.

    :param observation_space: Observation space, a ``Box`` of any shape; it is flattened
    :param features_dim: Number of features
    :param low: Lower bounds, (observation_dim,)
    :param high: Upper bounds, (observation_dim,)
    """

    low: th.Tensor
    inverse_range: th.Tensor

    def __init__(self, observation_space: spaces.Space, features_dim: int, low: np.ndarray, high: np.ndarray) -> None:
        super().__init__(observation_space, features_dim)
        self.register_buffer("low", th.tensor(low, dtype=th.float32))
        self.register_buffer("inverse_range", th.tensor(1 / (high - low), dtype=th.float32))

    @property
    def n_active(self) -> int:
        """How many features are nonzero at once; ``COPDACQ`` divides its step sizes by this number."""
        return self.features_dim

    def unit(self, observations: th.Tensor) -> th.Tensor:
        """Observations scaled to [0, 1], (batch_size, observation_dim)."""
        return ((observations.flatten(1) - self.low) * self.inverse_range).clamp_(0.0, 1.0)


class FourierBasis(BoundedFeatures):
    """
    Fourier basis (Konidaris, Osentoski and Thomas 2011): cos(pi c^T x) for the integer vectors c with entries from 0 to
    ``order``, x scaled to [0, 1].

    :param observation_space: Observation space, a ``Box``; it is flattened
    :param order: Largest entry of c
    :param max_coupled: Largest number of nonzero entries of c, for observations of many dimensions: 1 leaves out all
        interactions between dimensions, 2 keeps those of pairs. None: no limit, (order + 1)^dimensions features
    :param low: Lower bounds, a number or one per dimension; None: the observation space's
    :param high: Upper bounds, a number or one per dimension; None: the observation space's
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range, or the observation is unbounded and no bounds are given
    """

    coefficients: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        order: int = 3,
        max_coupled: int | None = None,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        check_integer("order", order, 1)
        if max_coupled is not None:
            check_integer("max_coupled", max_coupled, 1)
        lower, upper = observation_bounds(observation_space, low, high)
        size = lower.size
        coupled = size if max_coupled is None else min(max_coupled, size)
        features_dim = sum(comb(size, count) * order**count for count in range(coupled + 1))
        check_features_dim("FourierBasis", features_dim, "lower order or set max_coupled")
        super().__init__(observation_space, features_dim, lower, upper)
        coefficients = th.zeros(features_dim, size)
        row = 0
        for count in range(coupled + 1):
            for dimensions in combinations(range(size), count):
                for frequencies in product(range(1, order + 1), repeat=count):
                    coefficients[row, list(dimensions)] = th.tensor(frequencies, dtype=th.float32)
                    row += 1
        self.register_buffer("coefficients", coefficients)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Features in [-1, 1], (batch_size, features_dim)."""
        return th.cos(pi * self.unit(observations) @ self.coefficients.T)


class PolynomialBasis(BoundedFeatures):
    """
    All monomials of the observation scaled to [-1, 1], of total degree from ``min_degree`` to ``degree``.

    ``degree=1, min_degree=1`` is the observation itself, scaled: a linear state-feedback controller. ``degree=2`` holds every
    quadratic function, such as the value function of a linear-quadratic regulator.

    :param observation_space: Observation space, a ``Box``; it is flattened
    :param degree: Largest total degree
    :param min_degree: Smallest total degree: 0 includes the constant 1
    :param low: Lower bounds, a number or one per dimension; None: the observation space's
    :param high: Upper bounds, a number or one per dimension; None: the observation space's
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range, or the observation is unbounded and no bounds are given
    """

    factors: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        degree: int = 2,
        min_degree: int = 0,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        check_integer("min_degree", min_degree, 0)
        check_integer("degree", degree, 1)
        if degree < min_degree:
            raise ValueError(f"degree={degree} is too small: it must be at least min_degree={min_degree}")
        lower, upper = observation_bounds(observation_space, low, high)
        size = lower.size
        features_dim = sum(comb(size + total - 1, total) for total in range(min_degree, degree + 1))
        check_features_dim("PolynomialBasis", features_dim, "lower degree")
        super().__init__(observation_space, features_dim, lower, upper)
        # A monomial is a product of `degree` factors, each a dimension of the observation or (index `size`) the number 1
        factors = [
            (*dimensions, *[size] * (degree - total))
            for total in range(min_degree, degree + 1)
            for dimensions in combinations_with_replacement(range(size), total)
        ]
        self.register_buffer("factors", th.tensor(factors))

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Monomials in [-1, 1], (batch_size, features_dim)."""
        scaled = 2.0 * self.unit(observations) - 1.0
        return th.cat([scaled, th.ones_like(scaled[:, :1])], dim=1)[:, self.factors].prod(-1)


class RadialBasis(BoundedFeatures):
    """
    Normalised Gaussian radial basis functions on a grid (Sutton and Barto 2018, section 9.5.5):
    ``phi_i = g_i / sum_j g_j``, ``g_i = exp(-|x - c_i|^2 / (2 width^2))``, x scaled to [0, 1].

    :param observation_space: Observation space, a ``Box``; it is flattened
    :param n_centers: Number of centres along each dimension, the outermost on the bounds; at least 2
    :param width: Standard deviation of the Gaussians, in distances between neighbouring centres
    :param low: Lower bounds, a number or one per dimension; None: the observation space's
    :param high: Upper bounds, a number or one per dimension; None: the observation space's
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range, or the observation is unbounded and no bounds are given
    """

    grid: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        n_centers: int = 6,
        width: float = 0.75,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        check_integer("n_centers", n_centers, 2)
        check_real("width", width, 0.0, low_open=True)
        lower, upper = observation_bounds(observation_space, low, high)
        features_dim = n_centers**lower.size
        check_features_dim("RadialBasis", features_dim, "lower n_centers or use TileCoding with hash_size")
        super().__init__(observation_space, features_dim, lower, upper)
        self.precision = 0.5 * ((n_centers - 1) / width) ** 2
        self.register_buffer("grid", th.linspace(0.0, 1.0, n_centers))

    @property
    def n_active(self) -> int:
        """1: the features sum up to 1, as if one were active."""
        return 1

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Features in [0, 1] that sum up to 1, (batch_size, features_dim)."""
        # (batch_size, dim, n_centers); the softmax is the normalisation, along each dimension in turn as Gaussians factorise
        activations = th.softmax(-self.precision * (self.unit(observations).unsqueeze(-1) - self.grid).square(), dim=-1)
        features = activations[:, 0]
        for dimension in range(1, activations.shape[1]):
            features = (features.unsqueeze(-1) * activations[:, dimension].unsqueeze(1)).flatten(1)
        return features
