"""Callbacks for any SB3 off-policy algorithm, which a zoo YAML can name."""

from sb3_dpg.common.callbacks.action_noise import ActionNoiseCallback
from sb3_dpg.common.callbacks.value_estimate import ValueEstimateCallback

__all__ = ["ActionNoiseCallback", "ValueEstimateCallback"]
