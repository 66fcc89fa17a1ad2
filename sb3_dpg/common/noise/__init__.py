"""Exploration noise whose scale follows a schedule, for one environment or many; see docs/noise.md."""

from sb3_dpg.common.noise.base import ScheduledNoise
from sb3_dpg.common.noise.held import HeldNoise, SummedNoise
from sb3_dpg.common.noise.processes import GaussianNoise, OrnsteinUhlenbeckNoise
from sb3_dpg.common.noise.scaled import ScaledNoise
from sb3_dpg.common.noise.specification import make_noise

__all__ = [
    "GaussianNoise",
    "HeldNoise",
    "OrnsteinUhlenbeckNoise",
    "ScaledNoise",
    "ScheduledNoise",
    "SummedNoise",
    "make_noise",
]
