"""Tile coding."""

from collections.abc import Sequence
from itertools import count, islice
from math import gcd
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import ArrayLike

from sb3_dpg.common.checks import check_integer
from sb3_dpg.common.features.bases import BoundedFeatures, check_features_dim, observation_bounds

#: The lower 32 of 64 bits
LOWER_HALF = 2**32 - 1


class TileCoding(BoundedFeatures):
    """
    Tile coding (Sutton and Barto 2018, section 9.5.4): several grids over the observation, each shifted by a fraction of a
    tile; in each, the one tile that holds the observation is 1 and the others are 0.

    The shifts are asymmetric (Miller and Glanz 1996): tiling t is shifted by t (1, 3, 5, ...) / n_tilings of a tile, modulo
    one tile, so that the tilings do not line up along the diagonal; odd numbers that share a factor with ``n_tilings`` are
    left out. A power of two of at least 4 times the number of dimensions spreads them evenly. A shifted grid covers the bounds
    with ``n_bins + 1`` tiles along a dimension.

    :param observation_space: Observation space, a ``Box``; it is flattened
    :param n_tilings: Number of tilings
    :param n_bins: Number of tiles that span the bounds, one number or one per dimension
    :param low: Lower bounds, a number or one per dimension; None: the observation space's
    :param high: Upper bounds, a number or one per dimension; None: the observation space's
    :param hash_size: Number of features to hash the tiles to, for observations of many dimensions, where the number of tiles
        grows as (n_bins + 1)^dimensions; each tiling has its own ``hash_size // n_tilings``, so that two tiles that hold one
        observation never share a weight. None: one feature a tile
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range, or the observation is unbounded and no bounds are given
    """

    bins: th.Tensor
    inverse_width: th.Tensor
    shifts: th.Tensor
    strides: th.Tensor
    first: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        n_tilings: int = 8,
        n_bins: int | Sequence[int] = 8,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        hash_size: int | None = None,
    ) -> None:
        check_integer("n_tilings", n_tilings, 1)
        lower, upper = observation_bounds(observation_space, low, high)
        bins = self._bins_per_dimension(n_bins, lower.size)
        if hash_size is None:
            # Python's integers do not overflow
            tiles = int(np.prod([int(number) + 1 for number in bins], dtype=object))
            check_features_dim("TileCoding", n_tilings * tiles, "use fewer bins or hash_size=65536")
        else:
            check_integer("hash_size", hash_size, n_tilings)
            check_features_dim("TileCoding", hash_size, "lower hash_size")
            tiles = hash_size // n_tilings
        super().__init__(observation_space, n_tilings * tiles, lower, upper)
        self.n_tilings = n_tilings
        self.hashed = hash_size is not None
        self.tiles_per_tiling = tiles

        # A factor in common would give several tilings the same shift in this dimension
        factors = np.array([*islice((odd for odd in count(1, 2) if gcd(odd, n_tilings) == 1), lower.size)])
        tilings = np.arange(n_tilings)[:, None]
        self.register_buffer("bins", th.tensor(bins, dtype=th.float32))
        # A tile has the width 1 once observations are scaled to [0, n_bins]
        self.register_buffer("inverse_width", self.inverse_range * self.bins)
        self.register_buffer("shifts", th.tensor(tilings * factors % n_tilings / n_tilings, dtype=th.float32))
        self.register_buffer("strides", th.tensor(self._strides(n_tilings, bins)))
        self.register_buffer("first", th.tensor(tilings[:, 0] * tiles))

    @staticmethod
    def _bins_per_dimension(n_bins: int | Sequence[int], size: int) -> np.ndarray:
        bins = np.asarray(n_bins, dtype=object).reshape(-1)
        for number in bins:
            check_integer("n_bins", number, 1)
        if bins.size not in (1, size):
            raise ValueError(f"n_bins={n_bins!r} has {bins.size} entries: the observation has {size} dimension(s)")
        return np.broadcast_to(bins.astype(np.int64), (size,))

    def _strides(self, n_tilings: int, bins: np.ndarray) -> np.ndarray:
        """What each coordinate of a tile is multiplied by to give its number, (observation_dim,), hashed: in each tiling."""
        if self.hashed:
            # Multilinear hashing: random odd multipliers, of which the upper half of the product's bits is used. With the same
            # ones in all tilings, observations that collide in one would collide in others too
            return np.random.default_rng(0).integers(2**62, size=(n_tilings, bins.size)) * 2 + 1
        return np.concatenate([[1], np.cumprod(bins[:-1] + 1)])

    def _load_from_state_dict(self, state_dict: dict[str, th.Tensor], prefix: str, *args: Any) -> None:
        # A model that was saved earlier may hash all tilings alike
        name = f"{prefix}strides"
        if name in state_dict and state_dict[name].dim() < self.strides.dim():
            state_dict[name] = state_dict[name].expand_as(self.strides)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def n_active(self) -> int:
        return self.n_tilings

    def active(self, observations: th.Tensor) -> th.Tensor:
        """
        The features that are 1; all others are 0.

        :param observations: Observations, (batch_size, ...)
        :return: Their indices, of which no two are equal in a row, (batch_size, n_tilings)
        """
        # Two steps, as torch.clamp takes no number below and tensor above
        scaled = ((observations.flatten(1) - self.low) * self.inverse_width).clamp_min_(0.0)
        scaled = th.minimum(scaled, self.bins)
        # (batch_size, 1, dim) + (n_tilings, dim): rounding towards zero is the floor, as nothing is negative
        terms = (scaled.unsqueeze(1) + self.shifts).long().mul_(self.strides)
        tiles = upper_half_of_sum(terms) % self.tiles_per_tiling if self.hashed else terms.sum(-1)
        return tiles.add_(self.first)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Binary features, (batch_size, features_dim)."""
        active = self.active(observations)
        # Not len(): the number of rows must not be a constant of a traced graph
        return self.low.new_zeros(active.shape[0], self.features_dim).scatter_(1, active, 1.0)


def upper_half_of_sum(terms: th.Tensor) -> th.Tensor:
    """``terms.sum(-1) >> 32`` for int64 sums that wrap around, without any sum that has to: ONNX Runtime's does not."""
    carry = (terms & LOWER_HALF).sum(-1) >> 32
    upper = (terms >> 32).sum(-1).add_(carry)
    return (upper.add_(2**31) & LOWER_HALF).sub_(2**31)
