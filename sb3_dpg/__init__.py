"""Deterministic policy gradients for Stable-Baselines3."""

from sb3_dpg.bnddpg import BNDDPG
from sb3_dpg.copdacq import COPDACQ

__version__ = "0.1.0"

__all__ = ["BNDDPG", "COPDACQ", "__version__"]
