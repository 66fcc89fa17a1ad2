"""The speed script measures what it says; how fast things are is not tested."""

import sys
from pathlib import Path

import pytest
from stable_baselines3.common.env_util import make_vec_env

from sb3_dpg.benchmark.speed import __main__ as speed
from sb3_dpg.benchmark.speed.contestants import REFERENCE, contestants
from sb3_dpg.benchmark.speed.measure import WARM_UP_STEPS, alternate, warm_up
from sb3_dpg.benchmark.speed.memory import buffer_bytes, fill


@pytest.mark.slow
@pytest.mark.parametrize("n_envs", [1, 8])
def test_one_update_for_each_step_of_each_environment(n_envs: int) -> None:
    model = contestants()["BNDDPG joint"](make_vec_env("Pendulum-v1", n_envs=n_envs), 64)
    warm_up(model)
    before = model._n_updates, model.num_timesteps
    times = alternate({REFERENCE: model}, steps=16, repeats=1)[REFERENCE]
    assert model.num_timesteps - before[1] == 16
    # As many again are timed without the loop
    assert model._n_updates - before[0] == 16 + 16
    assert model._n_updates < WARM_UP_STEPS
    assert min(times.step, times.update, times.steps_per_second) > 0


def test_full_buffers_are_of_the_size_asked_for() -> None:
    sizes = {}
    for name in (REFERENCE, "BNDDPG joint"):
        model = contestants()[name](make_vec_env("Pendulum-v1"), 64)
        fill(model, 1_000)
        assert model.replay_buffer.size() == 1_000
        sizes[name] = buffer_bytes(model)
    assert sizes["BNDDPG joint"] == sizes[REFERENCE] > 1_000 * 4 * (3 + 3 + 1 + 1)


@pytest.mark.slow
def test_every_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "speed.md"
    only = ["--only", "BNDDPG joint", "COPDACQ", "--output", str(output)]
    arguments = ["--batch-sizes", "16", "--steps", "10", "--repeats", "1", *only]
    monkeypatch.setattr(sys, "argv", ["speed", *arguments])
    speed.main()
    text = output.read_text()
    assert text == capsys.readouterr().out.removesuffix("\n")
    for name in (REFERENCE, "BNDDPG joint", "COPDACQ"):
        assert f"| 16 | 1 | 1 | {name} |" in text
    assert text.count("| --- |") > 4
