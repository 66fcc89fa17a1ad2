"""The linear policy over tiles on NumPy arrays: for a few states at a time PyTorch's overhead is several times the work."""

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from sb3_dpg.common.features import TileCoding
from sb3_dpg.copdacq.linearisation import Clipped, Linearised, SparseLinear
from sb3_dpg.copdacq.policies import CompatiblePolicy, LinearPolicy
from sb3_dpg.copdacq.updates import ActorCriticWeights


class TilePolicy:
    """
    What :class:`LinearPolicy` does, on NumPy arrays that share the memory of its parameters.

    The update itself (``updates.py``) is written for both kinds of arrays.

    :param policy: A policy that :meth:`supports` accepts
    """

    def __init__(self, policy: CompatiblePolicy) -> None:
        features = policy.features_extractor
        assert isinstance(features, TileCoding)
        self.policy = policy
        self.weights = ActorCriticWeights(*([tensor.detach().numpy() for tensor in part] for part in policy.weights))
        self._addresses = self._present_addresses()
        self._low, self._bins = features.low.numpy(), features.bins.numpy()
        self._inverse_width, self._shifts = features.inverse_width.numpy(), features.shifts.numpy()
        self._strides, self._first = features.strides.numpy(), features.first.numpy()
        self._hashed, self._tiles_per_tiling = features.hashed, features.tiles_per_tiling

    def __reduce__(self) -> tuple[type["TilePolicy"], tuple[CompatiblePolicy]]:
        # Copied or pickled arrays would share no memory with the parameters that are copied beside them
        return TilePolicy, (self.policy,)

    def shares_memory(self) -> bool:
        """Whether the arrays still are the memory of the policy's parameters."""
        return self._present_addresses() == self._addresses

    def _present_addresses(self) -> list[int]:
        # Without the names of the modules, which would take longer than the rest
        return [tensor.data_ptr() for tensor in self.policy._parameters.values() if tensor is not None]

    @staticmethod
    def supports(policy: CompatiblePolicy) -> bool:
        """Whether a policy is linear over tiles of plain observations, with flat actions, on the CPU."""
        return (
            # A subclass may act or learn by methods of its own
            type(policy) is LinearPolicy
            and type(policy.features_extractor) is TileCoding
            and policy.value_features_extractor is policy.features_extractor
            and policy.device.type == "cpu"
            and isinstance(policy.observation_space, spaces.Box)
            and not is_image_space(policy.observation_space)
            and len(policy.action_space.shape or ()) == 1
        )

    def active(self, observations: np.ndarray) -> np.ndarray:
        """As :meth:`TileCoding.active`."""
        scaled = (observations.reshape(len(observations), -1).astype(np.float32, copy=False) - self._low) * self._inverse_width
        scaled = np.minimum(np.maximum(scaled, 0.0), self._bins)
        coordinates = (scaled[:, None] + self._shifts).astype(np.int64)
        if self._hashed:
            tiles = ((coordinates * self._strides).sum(-1) >> 32) % self._tiles_per_tiling
        else:
            tiles = coordinates.dot(self._strides)
        return tiles + self._first

    def actions(self, observations: np.ndarray) -> np.ndarray:
        """mu(s), scaled to [-1, 1], (batch_size, action_dim)."""
        (theta,) = self.weights.theta
        return np.minimum(np.maximum(theta[self.active(observations)].sum(1), -1.0), 1.0)

    def linearise(self, observations: np.ndarray, next_observations: np.ndarray) -> Linearised[np.ndarray]:
        """As :meth:`LinearPolicy.linearise`."""
        size = len(observations)
        active = self.active(np.concatenate([observations, next_observations]))
        return (
            Clipped(SparseLinear(active[:size], self.weights.theta)),
            SparseLinear(active[:size], self.weights.v),
            SparseLinear(active[size:], self.weights.v),
        )
