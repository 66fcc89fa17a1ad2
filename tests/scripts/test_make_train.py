"""What a newcomer sees first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import CLONE


@pytest.mark.slow
def test_make_train_says_what_was_learned_in_few_lines(tmp_path: Path) -> None:
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    for name, arguments in (("python", ""), ("sb3-dpg", " -m sb3_dpg")):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (commands / name).chmod(0o755)
    # As if the environment were installed
    command = ["make", "-f", str(CLONE / "Makefile"), "train", "VENV=venv", "-o", "venv/installed-base"]
    done = subprocess.run(
        [*command, "OPTIONS=-n 1010 --eval-freq 500 --eval-episodes 1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CLONE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) <= 40
    assert [line.split()[0] for line in lines if line.startswith("  ") and "+-" in line] == ["untrained", "trained"]
    assert "Learning curve: logs/bnddpg/Pendulum-v1_1/learning_curve.png" in lines
    assert (tmp_path / "logs/bnddpg/Pendulum-v1_1/learning_curve.png").is_file()
    assert "make train OPTIONS=--resume" in lines[0]
    assert any("1,010/1,010" in line for line in lines), "a progress bar"
    assert lines[-1].startswith("Next: venv/bin/sb3-dpg enjoy ")
