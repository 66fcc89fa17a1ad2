"""Where a result comes from: versions, commit, machine."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from sb3_dpg import __version__

#: Packages whose version can change a result
PACKAGES = ("stable-baselines3", "sb3-contrib", "rl_zoo3", "gymnasium", "mujoco", "box2d", "torch", "numpy", "sbx-rl", "jax")
CPU_INFO = Path("/proc/cpuinfo")


def provenance() -> dict[str, str]:
    """
    :return: ``versions``, ``git_commit`` ("+" behind it: with changes not committed; empty outside a clone) and ``machine``
    """
    machine = f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"
    return {"versions": _versions(), "git_commit": _git_commit(), "machine": machine}


def _versions() -> str:
    versions = [f"python {platform.python_version()}", f"sb3-dpg {__version__}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return "; ".join(versions)


def _git_commit() -> str:
    package = Path(__file__).parents[1]
    commands = (
        # Fails for an installed package, which may well lie inside a clone of something else
        "git ls-files --error-unmatch __init__.py",
        "git rev-parse --short=12 HEAD",
        "git status --porcelain --untracked-files=no -- . ../scripts",
    )
    try:
        _, commit, changes = (
            subprocess.run(command.split(), cwd=package, capture_output=True, text=True, check=True).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+" if changes else commit


def processor_of(machine: str) -> str:
    """The processor of a machine that :func:`provenance` has described."""
    return machine.partition(", ")[2].rpartition(", ")[0] or machine


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    # Of the first core
    fields = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in reversed(lines) if ":" in line)
    if "CPU part" in fields:
        return f"{platform.machine()} (implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']})"
    if "model name" not in fields:
        return platform.processor()
    # Virtual machines give several generations one name
    return f"{fields['model name'].strip()} (family {fields.get('cpu family', '?')} model {fields.get('model', '?')})"
