"""Every example runs, on a small budget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[1]
EXAMPLES = sorted((CLONE / "examples").glob("*.py"))
# What a run that did its work prints
SHOWN = {
    "mountain_car": "return of mu over 5 episodes",
    "scheduled_noise_on_td3": "actor_saturation",
    "train_and_export": "exported:",
}


def test_all_examples_are_known() -> None:
    assert {path.stem for path in EXAMPLES} == set(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CLONE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(path), "--steps", "1000"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert SHOWN[path.stem] in done.stdout
