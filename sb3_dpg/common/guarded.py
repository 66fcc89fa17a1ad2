"""Training that stops, with weights that can be saved, when something is not finite."""

from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.divergence import DivergenceError, WeightsGuard, all_finite, finite_weights

SelfGuarded = TypeVar("SelfGuarded", bound="GuardedOffPolicyAlgorithm")


class GuardedOffPolicyAlgorithm(OffPolicyAlgorithm):
    """
    An off-policy algorithm that stops with an error, and with finite weights in place, when environment, losses or weights
    are not finite (docs/reliability.md). The losses are the subclass's to check, in ``train``.
    """

    def _setup_model(self) -> None:
        super()._setup_model()
        self._guard = WeightsGuard(self.get_parameters, self.set_parameters)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        prepared = super()._setup_learn(*args, **kwargs)
        self._check_weights("before training")
        self._guard.start()
        return prepared

    def learn(self: SelfGuarded, *args: Any, **kwargs: Any) -> SelfGuarded:
        super().learn(*args, **kwargs)
        # The last update has no loss after it that would show what it did
        self._check_weights("after the last update")
        return self

    def _check_weights(self, when: str) -> None:
        """
        :param when: For the error
        :raises DivergenceError: if weights are infinite or NaN; the last good ones, where there are any, are put back
        """
        if not finite_weights(self.policy):
            raise self._diverged(f"{when} (step {self.num_timesteps}) the weights are not finite.")

    def _diverged(self, what: str) -> DivergenceError:
        """
        Put the last good weights back, where there are any.

        :param what: What is not as it should be, and when
        :return: The error to raise
        """
        if self._guard.restore():
            kept = "The model holds the last weights known to be good and can be saved."
        else:
            kept = "There are no earlier weights to go back to: load another checkpoint."
        return DivergenceError(f"{what} {self._advice()} {kept}")

    def _advice(self) -> str:
        """
        :return: The likely cause of a divergence, and what to do
        """
        raise NotImplementedError

    def _store_transition(self, replay_buffer: ReplayBuffer, *args: Any, **kwargs: Any) -> None:
        # Once in the replay buffer it would spoil the training long after
        self._check_transition(*args, **kwargs)
        super()._store_transition(replay_buffer, *args, **kwargs)

    def _check_transition(
        self,
        buffer_action: np.ndarray,
        new_obs: np.ndarray | dict[str, np.ndarray],
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        :param buffer_action: The action, and all others, as SB3's ``_store_transition`` has them
        :raises DivergenceError: if the policy's weights, and so its action, are not finite
        :raises ValueError: if the policy's action, or the environment's reward or observation is not finite
        """
        if self._vec_normalize_env is not None:
            # It clips what is infinite
            new_obs, reward = self._vec_normalize_env.get_original_obs(), self._vec_normalize_env.get_original_reward()
        last = [infos[i].get("terminal_observation") for i in np.flatnonzero(dones)]
        observed = all_finite(new_obs) and all(obs is None or all_finite(obs) for obs in last)
        if observed and all_finite(reward):
            return
        if not all_finite(buffer_action):
            self._check_weights("after an update")
            raise ValueError(
                f"at step {self.num_timesteps} the policy's action {buffer_action} is not finite, although its weights are: "
                "the observation before was too large for single precision (see VecNormalize). The weights can be saved."
            )
        what = f"reward {reward}" if observed else f"observation {last if all_finite(new_obs) else new_obs}"
        raise ValueError(
            f"at step {self.num_timesteps} the environment returned {what}, which is not finite, for the action "
            f"{buffer_action} (scaled to [-1, 1]). The transition was not learned from: the weights are those of before it "
            "and can be saved. SB3's VecCheckNan tells which environment of several it was."
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_guard"]
