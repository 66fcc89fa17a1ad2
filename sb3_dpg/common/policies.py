"""The base of our deterministic policies."""

from stable_baselines3.common.policies import BasePolicy


class DeterministicPolicy(BasePolicy):
    """
    An SB3 policy that does not walk its modules when the training mode stays as it is.

    ``predict`` asks for evaluation mode on every environment step, and ``Module.train`` visits every submodule: 40 % of the
    loop's time for small networks.
    """

    def set_training_mode(self, mode: bool) -> None:
        """
        Put the policy in either training or evaluation mode.

        :param mode: if true, set to training mode, else set to evaluation mode
        """
        if mode != self.training:
            super().set_training_mode(mode)
