"""Each case is on its page, and makes its picture."""

from pathlib import Path

import pytest

from sb3_dpg.diagnostics.plots import QUANTITIES
from scripts.failing_trainings import CASES, run
from tests.pages import DOCS


def test_the_page_has_each_case() -> None:
    page = (DOCS / "studies" / "failing_trainings.md").read_text()
    assert all(set(case.panels) <= QUANTITIES.keys() for case in CASES.values())
    for name in CASES:
        picture = f"images/diagnostics_{name}.png"
        assert picture in page
        assert (DOCS / picture).exists()


@pytest.mark.slow
def test_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("overestimation", tmp_path, seed=0, steps=600)
    assert (tmp_path / "diagnostics_overestimation.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "overestimation, as usual, seed 0, 600 steps: return" in printed
    assert "value/overestimation" in printed
