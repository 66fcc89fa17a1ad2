"""The Fourier basis."""

from itertools import combinations, product
from math import comb, pi

import torch as th
from gymnasium import spaces
from numpy.typing import ArrayLike

from sb3_dpg.common.checks import check_integer
from sb3_dpg.common.features.bounded import BoundedFeatures, check_features_dim, observation_bounds


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
        """
        :param observations: Observations, (batch_size, ...)
        :return: Features in [-1, 1], (batch_size, features_dim)
        """
        return th.cos(pi * self.unit(observations) @ self.coefficients.T)
