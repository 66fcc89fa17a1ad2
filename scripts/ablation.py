"""
What each ingredient of BNDDPG's default is worth: ``python -m scripts.ablation``, in the repository's root.

Runs what is missing of ``plans/ablation.yml``; the options are those of ``sb3-dpg benchmark PLAN``. The first table of
``sb3-dpg benchmark report`` then has a line for each ingredient that was taken out.
"""

import sys
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_dpg.benchmark.cli import main
from sb3_dpg.bnddpg.policies import BNDDPGPolicy, Critic

PLAN = Path(__file__).parent / "plans" / "ablation.yml"


class NoAveragedActor(BNDDPGPolicy):
    """Acts by the actor that learns."""

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self.actor(observation)


class SeparatelyNormalizedCritic(Critic):
    """Normalises the halves of a joint batch, (s, a) and (s', mu(s')), each by its own statistics."""

    def q_values(self, obs: PyTorchObs, actions: th.Tensor, train: bool = False, **kwargs: Any) -> th.Tensor:
        if not train:
            return super().q_values(obs, actions, train, **kwargs)
        assert isinstance(obs, th.Tensor)
        halves = zip(obs.chunk(2), actions.chunk(2), strict=True)
        values = [super(SeparatelyNormalizedCritic, self).q_values(*half, train, **kwargs) for half in halves]
        return th.cat(values, dim=1)


class SeparatePasses(BNDDPGPolicy):
    """Its critics see the two halves of a joint batch in a pass each."""

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Critic:
        kwargs = self._network_kwargs(self.critic_arch, features_extractor)
        return SeparatelyNormalizedCritic(**kwargs, **self.critic_kwargs).to(self.device)


# Runs are processes that import this module again
if __name__ == "__main__":
    sys.exit(main([str(PLAN), *sys.argv[1:]]))
