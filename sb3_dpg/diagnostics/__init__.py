"""Why does my agent not learn: what actor and critic of any SB3 off-policy algorithm are like."""

from sb3_dpg.diagnostics.callback import DiagnosticsCallback
from sb3_dpg.diagnostics.critics import action_values
from sb3_dpg.diagnostics.greedy import GreedyGap, greedy_gap
from sb3_dpg.diagnostics.value_estimate import ValueEstimateCallback

__all__ = ["DiagnosticsCallback", "GreedyGap", "ValueEstimateCallback", "action_values", "greedy_gap"]
