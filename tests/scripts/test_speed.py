"""The scripts that measure speed measure what they say; how fast things are is not tested."""

from pathlib import Path

import pytest
from stable_baselines3.common.env_util import make_vec_env

from scripts import noise_speed, speed
from scripts.speed import REFERENCE, contestants
from scripts.timing import WARM_UP_STEPS, alternate, warm_up


@pytest.mark.slow
@pytest.mark.parametrize("n_envs", [1, 8])
def test_one_update_for_each_step_of_each_environment(n_envs: int) -> None:
    model = contestants()["BNDDPG"](make_vec_env("Pendulum-v1", n_envs=n_envs), 64)
    warm_up(model)
    before = model._n_updates, model.num_timesteps
    times = alternate({REFERENCE: model}, steps=16, repeats=1)[REFERENCE]
    assert model.num_timesteps - before[1] == 16
    # As many again are timed without the loop
    assert model._n_updates - before[0] == 16 + 16
    assert model._n_updates < WARM_UP_STEPS
    assert min(times.step, times.update, times.steps_per_second) > 0


@pytest.mark.slow
def test_every_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "speed.md"
    small = ["--batch-sizes", "16", "--threads", "1", "--steps", "10", "--repeats", "1", "--memory-steps", "400"]
    speed.main([*small, "--only", "BNDDPG", "COPDACQ", "--net-arch", "32", "16", "--output", str(output)])
    text = output.read_text()
    assert text == capsys.readouterr().out.removesuffix("\n")
    assert "denormal" not in text
    for name in (REFERENCE, "BNDDPG", "COPDACQ"):
        for n_envs in (1, 8):
            assert f"| 16 | {n_envs} | 1 | {name} |" in text
    assert text.count("| --- |") > 4


@pytest.mark.slow
def test_denormal_numbers_are_flushed_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(speed.th, "set_flush_denormal", lambda flush: flushed.append(flush) or True)
    small = ["--batch-sizes", "16", "--n-envs", "1", "--threads", "1", "--steps", "10", "--repeats", "1"]
    speed.main([*small, "--memory-steps", "0", "--only", "COPDACQ", "--flush-denormal"])
    assert flushed == [True]
    assert "; denormal numbers flushed to 0; " in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in contestants() if not name.startswith("SBX")])
def test_every_contestant_takes_the_network_and_its_own(name: str) -> None:
    env = make_vec_env("Pendulum-v1")
    widths = []
    for net_arch in (None, [24, 24]):
        model = contestants()[name](env, 16, net_arch)
        widths.append({parameter.shape[0] for parameter in model.policy.parameters()} & {24})
    assert widths == ([set(), set()] if name == "COPDACQ" else [set(), {24}])


def test_noises_table_has_each_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(noise_speed, "N_REPETITIONS", 1)
    noise_speed.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert len(rows) == 12
    for process, *_, ours, theirs, ratio in rows:
        assert process in ("Ornstein-Uhlenbeck", "Gaussian", "BNDDPG's default")
        assert float(ratio) == pytest.approx(float(theirs) / float(ours), rel=0.1, abs=0.06)
