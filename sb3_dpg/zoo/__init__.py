"""All that knows rl-zoo3: registration, hyperparameter files, search, resuming and the command line."""

from sb3_dpg.zoo.registration import register

__all__ = ["register"]
