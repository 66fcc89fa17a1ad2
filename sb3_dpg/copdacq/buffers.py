"""What online learning learns from."""

from typing import Any

from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize


class LatestTransitions(ReplayBuffer):
    """
    The newest transition of each environment, and no other: nothing is replayed.

    An SB3 ``ReplayBuffer`` of one position, so that timeouts, ``VecNormalize`` and saving are as in SB3; only its choice of
    samples is another.
    """

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """The newest transition of each environment, in the order of the environments, whatever the batch size."""
        return ReplayBufferSamples(*map(self.to_torch, self.latest(env)[:5]))

    def latest(self, env: VecNormalize | None = None) -> Any:
        """
        The same as NumPy arrays, some of them the buffer's own.

        :raises ValueError: if there is no transition yet
        """
        if self.size() == 0:
            raise ValueError("there is no transition to learn from yet: call learn before train")
        newest = (self.pos - 1) % self.buffer_size
        arrays: Any = (
            self._normalize_obs(self.observations[newest], env),
            self.actions[newest],
            self._normalize_obs(self.next_observations[newest], env),
            # An episode that ran out of time has not ended: its last state still has a value
            (self.dones[newest] * (1 - self.timeouts[newest])).reshape(-1, 1),
            self._normalize_reward(self.rewards[newest].reshape(-1, 1), env),
        )
        return ReplayBufferSamples(*arrays)
