"""The comparison at the end of ``make train``."""

from pathlib import Path

import pytest
import torch as th
import yaml
from stable_baselines3.common.policies import BasePolicy

from sb3_dpg.cli import main
from scripts import compare_untrained
from tests.zoo.entries import tiny_entry

Capture = pytest.CaptureFixture[str]


def test_agents_are_evaluated_in_the_environment_that_they_learned_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    gravity: list[float] = []
    shapes: list[dict[str, th.Size]] = []

    def evaluate(policy: BasePolicy, env: object, **kwargs: object) -> tuple[list[float], list[int]]:
        shapes.append({name: tensor.shape for name, tensor in policy.state_dict().items()})
        gravity.extend(env.get_attr("g"))  # type: ignore[attr-defined]
        return [-1.0], [200]

    monkeypatch.setattr(compare_untrained, "evaluate_policy", evaluate)
    command = ("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--eval-freq", "40", "--eval-episodes", "1")
    Path("config.yml").write_text(yaml.safe_dump({"Pendulum-v1": tiny_entry("bnddpg", n_timesteps=40)}))
    assert main([*command, "-conf", "config.yml", "--seed", "3", "--env-kwargs", "g:5.0"]) == 0
    capsys.readouterr()
    compare_untrained.main([])
    assert gravity == [5.0, 5.0]
    untrained, trained = shapes
    assert untrained == trained
    assert "Run: logs/bnddpg/Pendulum-v1_1 (seed 3)" in capsys.readouterr().out
    assert Path("logs/bnddpg/Pendulum-v1_1/learning_curve.png").is_file()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--folder", "no"), "The no/bnddpg folder was not found"),
        (("--algo", "bndpg"), "--algo 'bndpg' is unknown, did you mean 'bnddpg'?"),
    ],
)
def test_mistakes_get_one_line(capsys: Capture, options: tuple[str, ...], expected: str) -> None:
    with pytest.raises(SystemExit):
        compare_untrained.main(options)
    assert capsys.readouterr().err.startswith(f"python -m scripts.compare_untrained: error: {expected}")
