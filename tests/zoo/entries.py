"""Entries of hyperparameter files for tiny agents."""

from typing import Any

#: A tiny agent for each algorithm that the scripts are run with
TINY = {
    "bnddpg": {"policy": "MlpPolicy", "learning_starts": 20, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}},
    "ddpg": {"policy": "MlpPolicy", "learning_starts": 20, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}},
    "td3": {"policy": "MlpPolicy", "learning_starts": 20, "batch_size": 8, "policy_kwargs": {"net_arch": [8]}},
    "copdacq": {"policy": "LinearPolicy"},
}
NOISE = {"noise_type": "normal", "noise_std": 0.2}


def tiny_entry(algo: str, **changes: Any) -> dict[str, Any]:
    """An entry of a hyperparameter file."""
    return {"n_timesteps": 400, **TINY[algo], **NOISE, **changes}
