"""The polynomial basis."""

from itertools import combinations_with_replacement
from math import comb

import torch as th
from gymnasium import spaces
from numpy.typing import ArrayLike

from sb3_dpg.common.checks import check_integer
from sb3_dpg.common.features.bounded import BoundedFeatures, check_features_dim, observation_bounds


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
        """
        :param observations: Observations, (batch_size, ...)
        :return: Monomials in [-1, 1], (batch_size, features_dim)
        """
        scaled = 2.0 * self.unit(observations) - 1.0
        return th.cat([scaled, th.ones_like(scaled[:, :1])], dim=1)[:, self.factors].prod(-1)
