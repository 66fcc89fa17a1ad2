"""Entries of hyperparameter files for tiny agents."""

from typing import Any

# Few updates: most tests are of what is around them
_SMALL = {"learning_starts": 20, "batch_size": 8, "buffer_size": 1000, "train_freq": 10}
_NETWORK = {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [8]}, **_SMALL}
#: A tiny agent for each algorithm that the scripts are run with
TINY = {"bnddpg": _NETWORK, "ddpg": _NETWORK, "td3": _NETWORK, "copdacq": {"policy": "LinearPolicy"}}
NOISE = {"noise_type": "normal", "noise_std": 0.2}


def tiny_entry(algo: str, **changes: Any) -> dict[str, Any]:
    """An entry of a hyperparameter file."""
    return {"n_timesteps": 400, **TINY[algo], **NOISE, **changes}
