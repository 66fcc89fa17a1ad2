"""What was run: protocol, hyperparameters, software."""

import json
from typing import Any

import pandas as pd

from sb3_dpg.benchmark.analysis.selection import Selection
from sb3_dpg.benchmark.configuration import Configuration, EvaluationProtocol
from sb3_dpg.benchmark.plan import Plan
from sb3_dpg.benchmark.report.markdown import items, table


def protocol_section(selection: Selection) -> str:
    """
    :param selection: Complete runs
    :return: How agents were trained and evaluated, and with what
    """
    plan = selection.plan
    protocols: dict[EvaluationProtocol, dict[str, None]] = {}
    for configuration in plan.configurations:
        protocols.setdefault(configuration.evaluation, {})[configuration.environment] = None
    lines = [
        (f"{', '.join(names)}: " if len(protocols) > 1 else "")
        + f"{protocol.points} evaluations at equal distances, the last at the end, each of {protocol.episodes} episodes with "
        f"{'deterministic' if protocol.deterministic else 'sampled'} actions in an environment of their own."
        for protocol, names in protocols.items()
    ]
    lines.append(f"Seeds: {', '.join(map(str, plan.seeds))}. One thread for each run, on the CPU.")
    runs = [run for algorithms in selection.runs.values() for seeds in algorithms.values() for run in seeds.values()]
    for column, name in {"machine": "Machine", "git_commit": "Commit", "versions": "Software"}.items():
        values = sorted(set(pd.concat([run[column] for run in runs]).astype(str))) if runs else []
        lines += [f"{name}: {value}." for value in values if value]
    return items(lines)


def hyperparameter_section(plan: Plan) -> str:
    """
    :param plan: The plan
    :return: The hyperparameters of each configuration
    """
    rows = [
        [configuration.algorithm, configuration.environment, configuration.algo, _hyperparameters(configuration)]
        for configuration in plan.configurations
    ]
    return table(["algorithm", "environment", "name in rl-zoo3", "hyperparameters"], rows)


def _hyperparameters(configuration: Configuration) -> str:
    shown = {key: value for key, value in sorted(configuration.hyperparameters.items()) if key != "n_timesteps"}
    return ", ".join(f"{key} {_value(value)}" for key, value in shown.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
