"""The figure and the animation of the README."""

from pathlib import Path

import pytest
from PIL import Image

from scripts import animation, readme_figure
from tests.algorithms import make
from tests.pages import DOCS


def test_animation(tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    make("bnddpg").save(tmp_path / "agent.zip")
    output = tmp_path / "new" / "pendulum.gif"
    options = ["--env", "Pendulum-v1", "--steps", "30", "--every", "10", "--width", "100", "--output", str(output)]
    animation.main([str(tmp_path / "agent.zip"), *options])
    with Image.open(output) as gif:
        # Pendulum-v1 has 30 pictures a second, one in ten is drawn
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (3, (100, 100), 330)


def test_animation_ends_with_the_episode(tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    model = make("bnddpg")
    env = animation.gym.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=7)
    assert len(animation.record(model, env, seed=0, steps=100, every=2)) == 4


def test_figure_has_the_algorithms_of_each_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rliable")
    monkeypatch.setattr("sb3_dpg.benchmark.analysis.statistics.REPETITIONS", 10)
    figure = readme_figure.draw(DOCS / "benchmark" / "copdacq", {"copdacq": "COPDACQ", "sac": "SAC"})
    assert all([line.get_label() for line in axes.lines] == ["COPDACQ (10 seeds)"] for axes in figure.axes)
    assert {axes.get_title() for axes in figure.axes} >= {"Pendulum-v1", "MountainCarContinuous-v0"}


def test_a_misspelt_algorithm_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        readme_figure.main(["--algorithms", "bnddgp"])
    assert "--algorithms 'bnddgp' is unknown, did you mean 'bnddpg'?" in capsys.readouterr().err
