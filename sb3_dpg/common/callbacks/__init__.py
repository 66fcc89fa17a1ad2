"""Callbacks for any SB3 off-policy algorithm, which a zoo YAML can name."""

from sb3_dpg.common.callbacks.action_noise import ActionNoiseCallback

__all__ = ["ActionNoiseCallback"]
