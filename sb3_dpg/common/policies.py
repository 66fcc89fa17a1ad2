"""The base of our deterministic policies."""

import numpy as np
from stable_baselines3.common.policies import BasePolicy


class DeterministicPolicy(BasePolicy):
    """
    A policy, or an actor, whose networks are in evaluation mode at all times: a loss that wants the statistics of its batch
    asks for them in the pass. So nobody who looks at a network changes it, and ``predict`` may be called while training runs.
    """

    def set_training_mode(self, mode: bool) -> None:
        """
        Does nothing: see the class. (SB3 calls it on every environment step.)

        :param mode: Not used
        """

    def unscale_action(self, scaled_action: np.ndarray) -> np.ndarray:
        # In single precision low + (high - low) may be above high
        return np.clip(super().unscale_action(scaled_action), self.action_space.low, self.action_space.high)
