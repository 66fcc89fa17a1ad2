"""The entries for MuJoCo's v5 tasks are those that rl-zoo3 has for v4."""

from pathlib import Path

import pytest
import rl_zoo3
import yaml

from tests.pages import CLONE


@pytest.mark.parametrize("algo", ["crossq", "ddpg", "sac", "td3"])
def test_entries_are_rl_zoo3s(algo: str) -> None:
    ours = yaml.safe_load((CLONE / "hyperparams" / f"{algo}.yml").read_text())
    theirs = yaml.safe_load((Path(rl_zoo3.__file__).parent / "hyperparams" / f"{algo}.yml").read_text())
    of_v4 = {name: entry for name, entry in theirs.items() if name.endswith("-v4")}
    assert of_v4, "rl-zoo3 has none for v4 any more"
    assert {name.replace("-v4", "-v5"): entry for name, entry in of_v4.items()}.items() <= ours.items()
    assert not ours.keys() & theirs.keys(), "rl-zoo3's come first"
