"""The algorithms whose speed is compared, each as its library ships it, on the DDPG paper's network."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sb3_contrib import CrossQ
from stable_baselines3 import DDPG, TD3
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_dpg import BNDDPG, COPDACQ

Factory = Callable[[VecEnv, int], OffPolicyAlgorithm]

REFERENCE = "SB3 DDPG"
NET_ARCH = [400, 300]
LEARNING_STARTS = 300


def _noise(env: VecEnv) -> ActionNoise:
    action_dim = env.action_space.shape[0]
    noise = NormalActionNoise(np.zeros(action_dim), np.full(action_dim, 0.1))
    return VectorizedActionNoise(noise, env.num_envs) if env.num_envs > 1 else noise


def _deep(algorithm: Callable[..., OffPolicyAlgorithm], noisy: bool = True, **kwargs: Any) -> Factory:
    """
    :param algorithm: The class of a deep algorithm
    :param noisy: Whether it explores by action noise
    :param kwargs: What it gets beyond what all get
    :return: A function of environment and batch size that makes it
    """

    def make(env: VecEnv, batch_size: int) -> OffPolicyAlgorithm:
        return algorithm(
            "MlpPolicy",
            env,
            batch_size=batch_size,
            buffer_size=100_000,
            learning_starts=LEARNING_STARTS,
            # One update for each step of each environment
            gradient_steps=-1,
            policy_kwargs=dict(net_arch=NET_ARCH),
            seed=0,
            **(dict(action_noise=_noise(env)) if noisy else {}),
            **kwargs,
        )

    return make


def _copdacq(env: VecEnv, batch_size: int) -> OffPolicyAlgorithm:
    return COPDACQ("LinearPolicy", env, action_noise={"type": "autoregressive", "lambda": 0.85, "std": 0.7}, seed=0)


def contestants() -> dict[str, Factory]:
    """
    :return: Who takes part, by name: those of SBX only where ``sbx-rl`` is installed
    """
    known: dict[str, Factory] = {
        REFERENCE: _deep(DDPG, device="cpu"),
        "SB3 TD3": _deep(TD3, device="cpu"),
        "BNDDPG joint": _deep(BNDDPG, device="cpu"),
        "BNDDPG joint, delay 2": _deep(BNDDPG, device="cpu", policy_delay=2),
        "BNDDPG target-batch": _deep(BNDDPG, device="cpu", batch_norm_mode="target-batch"),
        "BNDDPG running": _deep(BNDDPG, device="cpu", batch_norm_mode="running"),
        "BNDDPG none": _deep(BNDDPG, device="cpu", batch_norm_mode="none"),
        "BNDDPG joint, compiled": _deep(BNDDPG, device="cpu", compile=True),
        "sb3-contrib CrossQ": _deep(CrossQ, noisy=False, device="cpu"),
        "COPDACQ": _copdacq,
        "SB3 DDPG's loop, no training": lambda env, batch_size: _untrained(env),
    }
    try:
        import sbx
    except ImportError:
        return known
    return known | {"SBX DDPG": _deep(sbx.DDPG), "SBX CrossQ": _deep(sbx.CrossQ, noisy=False)}


def _untrained(env: VecEnv) -> OffPolicyAlgorithm:
    return DDPG(
        "MlpPolicy",
        env,
        action_noise=_noise(env),
        buffer_size=100_000,
        gradient_steps=0,
        policy_kwargs=dict(net_arch=NET_ARCH),
        device="cpu",
        seed=0,
    )
