"""Every example runs, on a small budget."""

import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

CLONE = Path(__file__).parents[1]
EXAMPLES = sorted((CLONE / "examples").glob("*.py"))
# What a run that did its work prints
SHOWN = {
    "batch_norm_on_images": "after training",
    "benchmark_plan": "4 of 4 runs complete",
    "own_features": "BNDDPG: return",
    "resume": "at step 1000: return",
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


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((CLONE / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPS", "600")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(CLONE))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "return of mu at the end" in printed
    assert float(printed.split("exported actions:")[1].split()[0]) < 1e-5
    # The episode, the diagnostics, actor beside critic, and the policy
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
