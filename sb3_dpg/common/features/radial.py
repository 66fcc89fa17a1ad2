"""Radial basis functions."""

import torch as th
from gymnasium import spaces
from numpy.typing import ArrayLike

from sb3_dpg.common.checks import check_integer, check_real
from sb3_dpg.common.features.bounded import BoundedFeatures, check_features_dim, observation_bounds


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
        """
        :param observations: Observations, (batch_size, ...)
        :return: Features in [0, 1] that sum up to 1, (batch_size, features_dim)
        """
        # (batch_size, dim, n_centers); the softmax is the normalisation, along each dimension in turn as Gaussians factorise
        activations = th.softmax(-self.precision * (self.unit(observations).unsqueeze(-1) - self.grid).square(), dim=-1)
        features = activations[:, 0]
        for dimension in range(1, activations.shape[1]):
            features = (features.unsqueeze(-1) * activations[:, dimension].unsqueeze(1)).flatten(1)
        return features
