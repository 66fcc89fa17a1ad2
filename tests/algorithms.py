"""Small models of our algorithms and of SB3's, for all tests."""

from typing import Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg import BNDDPG, COPDACQ


class Variant(NamedTuple):
    """
    :param algorithm: The algorithm
    :param policy: Alias of its policy
    :param arguments: Its other arguments
    """

    algorithm: type[OffPolicyAlgorithm]
    policy: str
    arguments: dict[str, Any]


NOISE = dict(type="normal", sigma=0.2)
REPLAY = dict(learning_starts=10, batch_size=8, buffer_size=200)
NETWORK = dict(policy_kwargs=dict(net_arch=[8]))
VARIANTS = {
    "ddpg": Variant(DDPG, "MlpPolicy", REPLAY | NETWORK),
    "td3": Variant(TD3, "MlpPolicy", REPLAY | NETWORK),
    "sac": Variant(SAC, "MlpPolicy", REPLAY | NETWORK),
    "bnddpg": Variant(BNDDPG, "MlpPolicy", REPLAY | NETWORK),
    "bnddpg-ddpg": Variant(BNDDPG, "MlpPolicy", BNDDPG.ddpg_kwargs(**REPLAY, **NETWORK)),
    "bnddpg-td3": Variant(BNDDPG, "MlpPolicy", BNDDPG.td3_kwargs(**REPLAY, **NETWORK)),
    "copdacq": Variant(COPDACQ, "LinearPolicy", dict(actor_learning_rate=0.01)),
    "copdacq-mlp": Variant(COPDACQ, "MlpPolicy", NETWORK),
    "copdacq-replay": Variant(COPDACQ, "LinearPolicy", REPLAY),
    "copdacq-mlp-replay": Variant(COPDACQ, "MlpPolicy", REPLAY | NETWORK),
}
CLASSES = {name: variant.algorithm for name, variant in VARIANTS.items()}


def make(name: str, env: Any = "Pendulum-v1", policy: str | None = None, **kwargs: Any) -> Any:
    """
    :param name: One of ``VARIANTS``
    :param env: The environment
    :param policy: Alias of the policy, None for the variant's
    :param kwargs: Arguments in place of the variant's; ``policy_kwargs`` are added to the variant's
    :return: A model that is small and has a seed
    """
    variant = VARIANTS[name]
    noise = dict(action_noise=NOISE) if variant.algorithm in (BNDDPG, COPDACQ) else {}
    arguments: dict[str, Any] = dict(seed=0, device="cpu") | variant.arguments | noise | kwargs
    # A new dictionary each time, as SB3's DDPG writes into the one that it is given
    arguments["policy_kwargs"] = {**variant.arguments.get("policy_kwargs", {}), **(kwargs.get("policy_kwargs") or {})}
    return variant.algorithm(policy or variant.policy, env, **arguments)


def make_filled(transitions: int = 100, shift: float = 0.0, **kwargs: Any) -> BNDDPG:
    """
    :param transitions: How many random ones its replay buffer holds
    :param shift: Added to their next observations
    :param kwargs: As for ``make``
    :return: A BNDDPG that can be trained without its environment
    """
    model = make("bnddpg", **dict(actor_warmup=0.0) | kwargs)
    rng = np.random.default_rng(0)
    for _ in range(transitions):
        obs, next_obs = rng.normal(size=(2, 1, 3)).astype(np.float32)
        action = rng.uniform(-1, 1, size=(1, 1)).astype(np.float32)
        model.replay_buffer.add(obs, next_obs + shift, action, rng.normal(size=1), np.zeros(1), [{}])
    model.set_logger(configure(None, []))
    return model


def weights(model: OffPolicyAlgorithm) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


def same(first: dict[str, th.Tensor], second: dict[str, th.Tensor]) -> bool:
    return first.keys() == second.keys() and all(th.equal(tensor, second[name]) for name, tensor in first.items())


def finite(model: OffPolicyAlgorithm) -> bool:
    return all(bool(th.isfinite(tensor).all()) for tensor in model.policy.state_dict().values())
