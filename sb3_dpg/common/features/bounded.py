"""What all bases have in common: observations scaled by their bounds."""

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import ArrayLike
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

# float32's largest number is what some environments write where they mean "unbounded"
UNBOUNDED = 1e30
# A basis larger than this is a mistake in its settings, and would be found out by the memory running full
MAX_FEATURES = 10_000_000


def observation_bounds(
    observation_space: spaces.Space, low: ArrayLike | None, high: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """
    Bounds of the flattened observation: those that are given, and the space's where none are. Of images these are 0 and 1, as
    SB3 divides them by 255 before features see them (where it does not, with ``normalize_images=False``, give the bounds).

    :param observation_space: The observation space, a ``Box``
    :param low: Lower bounds, a number or one per dimension; None: the space's
    :param high: Upper bounds, a number or one per dimension; None: the space's
    :return: Lower and upper bounds, each (observation_dim,)
    :raises TypeError: if the space is not a ``Box`` or bounds are not numbers
    :raises ValueError: if bounds have the wrong length, are infinite, or are the wrong way round
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
            "VecNormalize normalises; COPDACQ's LinearPolicy takes these by itself"
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
    """
    Refuse a basis that is too large before its memory is asked for.

    :param name: Name of the basis, for the error
    :param features_dim: Number of features it would have
    :param advice: What to do about it, for the error
    :raises ValueError: if there are more than ``MAX_FEATURES``
    """
    if features_dim > MAX_FEATURES:
        raise ValueError(f"{name} would have {features_dim:,} features, more than {MAX_FEATURES:,}: {advice}")


class BoundedFeatures(BaseFeaturesExtractor):
    """
    Base of the features that scale each dimension of the observation by its bounds.

    Observations beyond the bounds count as lying on them.

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
        """
        :param observations: Observations, (batch_size, ...)
        :return: Observations scaled to [0, 1], (batch_size, observation_dim)
        """
        return ((observations.flatten(1) - self.low) * self.inverse_range).clamp_(0.0, 1.0)
