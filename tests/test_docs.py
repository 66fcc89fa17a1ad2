"""Code blocks of the pages run, and their links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

CLONE = Path(__file__).parents[1]
PAGES = [CLONE / "README.md", *sorted((CLONE / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
# More steps than any documented learning_starts, so that updates happen
BUDGET = 200


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_code_blocks(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    learn = OffPolicyAlgorithm.learn
    learned: list[int] = []

    def learn_a_little(self: OffPolicyAlgorithm, total_timesteps: int, *args: Any, **kwargs: Any) -> OffPolicyAlgorithm:
        learned.append(total_timesteps)
        return learn(self, min(total_timesteps, BUDGET), *args, **kwargs)

    monkeypatch.setattr(OffPolicyAlgorithm, "learn", learn_a_little)
    monkeypatch.chdir(tmp_path)
    # For the blocks that call rl-zoo3's own functions
    monkeypatch.setattr("sys.argv", ["train", "--algo", "bnddpg", "--env", "Pendulum-v1", "-n", "200", "--eval-freq", "-1"])
    matplotlib.use("Agg")
    namespace: dict[str, Any] = {"__name__": "docs"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)
    assert len(learned) >= "".join(blocks(page)).count(".learn(")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not broken
