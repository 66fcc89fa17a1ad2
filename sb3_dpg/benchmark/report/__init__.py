"""Tables and figures of a plan, made from its results folder and nothing else."""

from sb3_dpg.benchmark.report.document import write_report

__all__ = ["write_report"]
