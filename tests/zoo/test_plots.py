"""Plots: every figure is saved, under a name of its own."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib import pyplot as plt

from sb3_dpg.cli import main
from sb3_dpg.zoo.plots import save_figures


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])


def write_evaluations(folder: Path, algo: str, seed: int, episodes: int = 2, count: int = 4, frequency: int = 100) -> None:
    """What a training of so many evaluations leaves."""
    run = folder / algo / f"Pendulum-v1_{seed}"
    run.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    results = rng.normal(-500, 10, (count, episodes))
    np.savez(
        run / "evaluations.npz",
        timesteps=np.arange(1, count + 1) * frequency,
        results=results,
        ep_lengths=np.full((count, episodes), 200),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_of_rliables_figures_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("rliable.library")
    for name in ("get_interval_estimates", "create_performance_profile"):
        estimate = getattr(library, name)
        # Thousands of resamples take a quarter of a minute
        monkeypatch.setattr(library, name, lambda *args, estimate=estimate, **kwargs: estimate(*args, **kwargs | {"reps": 20}))
    plt.close("all")
    for algo in ("bnddpg", "ddpg"):
        for seed in (1, 2):
            write_evaluations(tmp_path / "logs", algo, seed)
    gather = ("all-plots", "-a", "bnddpg", "ddpg", "-e", "Pendulum-v1", "-f", "logs", "--no-million", "-o", "all")
    assert main([*gather, "--figures", "figures"]) == 0
    assert main(["plot-from-file", "-i", "all.pkl", "-r", "-vs", "-iqm", "--no-million", "--figures", "more"]) == 0
    names = {
        "Results_Pendulum-v1", "Rliable_metrics", "Performance_profiles", "Probability_of_Improvement",
        "IQM_Normalized_Score_-_Sample_Efficiency_Curve", "Sensitivity_plot",
    }  # fmt: skip
    assert {path.name for path in Path("more").iterdir()} == {f"{name}.png" for name in names}
    assert len({path.read_bytes() for path in Path("more").iterdir()}) == len(names)
    assert {path.name for path in Path("figures").iterdir()} == {"Results_Pendulum-v1.png"}
    assert not plt.get_fignums()


def test_figures_of_one_title_do_not_overwrite_each_other(tmp_path: Path) -> None:
    plt.close("all")
    plt.switch_backend("agg")
    for _ in range(2):
        plt.figure().set_label("a title")
    save_figures(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_title.png", "a_title_2.png"]


def test_environments_with_a_slash(tmp_path: Path) -> None:
    plt.close("all")
    for seed in (1, 2):
        write_evaluations(tmp_path / "logs", "td3", seed)
        (tmp_path / f"logs/td3/Pendulum-v1_{seed}").rename(tmp_path / f"logs/td3/mine-Pendulum-v1_{seed}")
    assert main(["all-plots", "-a", "td3", "-e", "mine/Pendulum-v1", "-f", "logs", "--figures", "figures"]) == 0
    assert [path.name for path in Path("figures").iterdir()] == ["Results_mine-Pendulum-v1.png"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("all-plots",), "all-plots needs -a, -e, -f"),
        (("all-plots", "-a", "td3", "-f", "logs"), "all-plots needs -e"),
        (("all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", "-l", "a", "b"), "-l has 2 label(s) for 1 folder(s)"),
        (("all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", "-k", "successes"), "has no 'successes', but"),
        (("all-plots", "-a", "ddpg", "-e", "Pendulum", "-f", "logs"), "all-plots needs two or more runs, or two or more"),
        (("all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", "-max", "1"), "-max: there are no evaluations of td3"),
        (("plot-from-file",), "plot-from-file needs -i"),
        (("plot-from-file", "-i", "wrong.pkl"), "wrong.pkl is empty or was cut off"),
        (("plot-train", "-a", "td3", "-e", "Hopper", "-f", "logs", "--figures", "figures"), "nothing to plot"),
        (("plot-train", "-a", "td3", "-e", "Pendulum", "-f", "logs", "--figures", "figures"), "nothing to plot"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    plt.close("all")
    for seed in (1, 2):
        write_evaluations(tmp_path / "logs", "td3", seed)
    write_evaluations(tmp_path / "logs", "ddpg", 1, episodes=1)
    (tmp_path / "logs/td3/Pendulum-v1_1/0.monitor.csv").write_text('#{"t_start": 0.0, "env_id": "x"}\nr,l,t\n-1.0,200,0.1\n')
    (tmp_path / "wrong.pkl").write_text("no pickle")
    assert main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert expected in lines[0]
    assert not (tmp_path / "figures").exists()


def test_without_a_display_it_is_said_that_nothing_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        write_evaluations(tmp_path / "logs", "td3", seed)
    command = ("all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs")
    for options, expected in (((), True), (("--no-display",), False), (("--figures", "figures"), False)):
        plt.close("all")
        plt.switch_backend("agg")
        assert main([*command, *options]) == 0
        assert ("--figures FOLDER saves them" in capsys.readouterr().err) == expected


def test_shorter_runs_are_not_left_out_silently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, count in ((1, 4), (2, 3), (3, 4)):
        write_evaluations(tmp_path / "logs", "td3", seed, count=count)
    command = ("all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", "--no-display", "--print-n-trials")
    for options, expected in (((), 2), (("-max", "300"), 3)):
        plt.close("all")
        assert main([*command, *options]) == 0
        output = capsys.readouterr()
        # What rl-zoo3 plots
        assert f"Pendulum-TD3-logs: {expected}" in output.out
        told = "Not plotted, as they are shorter than the others of td3 on Pendulum in logs: Pendulum-v1_2 (to step 300)"
        assert (told in output.err) == (expected == 2)


@pytest.mark.parametrize(
    ("frequencies", "options", "expected"),
    [
        ((100, 1000), (), "td3/Pendulum-v1_1 and logs/td3/Pendulum-v1_2 were evaluated at different steps"),
        ((100, 1000), ("-min", "1"), "td3/Pendulum-v1_1 and logs/td3/Pendulum-v1_2 were evaluated at different steps"),
        ((100, 250), ("-max", "240"), "-max: logs/td3/Pendulum-v1_2 has no evaluation up to step 240"),
    ],
)
def test_runs_that_cannot_be_averaged(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    frequencies: tuple[int, int],
    options: tuple[str, ...],
    expected: str,
) -> None:
    for seed, frequency in enumerate(frequencies, start=1):
        write_evaluations(tmp_path / "logs", "td3", seed, frequency=frequency)
    assert main(["all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", *options]) == 1
    assert expected in capsys.readouterr().err


def test_runs_of_other_numbers_of_episodes_are_not_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, episodes in enumerate((2, 3), start=1):
        write_evaluations(tmp_path / "logs", "td3", seed, episodes=episodes)
    assert main(["all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs"]) == 1
    assert "differ in their number of episodes an evaluation, and cannot be averaged" in capsys.readouterr().err


def test_a_run_and_its_continuation_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The evaluations of the second begin with those of the first."""
    for seed in (1, 2):
        write_evaluations(tmp_path / "logs", "td3", seed)
    arguments = tmp_path / "logs/td3/Pendulum-v1_2/Pendulum-v1/args.yml"
    arguments.parent.mkdir()
    for agent in ("", "elsewhere/Pendulum-v1.zip", "logs/td3/Pendulum-v1_1/checkpoint_200_steps/Pendulum-v1.zip"):
        arguments.write_text(yaml.dump({"trained_agent": agent}))
        continues = "checkpoint" in agent
        assert main(["all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", "--no-display"]) == continues
        assert ("Pendulum-v1_2 continues logs/td3/Pendulum-v1_1: they are one run" in capsys.readouterr().err) == continues


def test_runs_of_another_evaluation_frequency_are_matched_by_their_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_evaluations(tmp_path / "logs", "td3", 1, count=4)
    write_evaluations(tmp_path / "logs", "td3", 2, count=2, frequency=200)
    command = ("all-plots", "-a", "td3", "-e", "Pendulum", "-f", "logs", "--no-display", "--print-n-trials")
    for options, expected in (((), 1), (("-min", "400"), 2)):
        plt.close("all")
        assert main([*command, *options]) == 0
        output = capsys.readouterr()
        assert f"Pendulum-TD3-logs: {expected}" in output.out
        assert ("-min STEPS plots all that are as long" in output.err) == (expected == 1)


@pytest.mark.parametrize(
    ("runs", "episodes", "count", "expected"),
    [
        (2, 2, 4, ""),
        (2, 1, 4, "+/- 0 of td3 on Pendulum in logs is unknown"),
        (1, 2, 4, "+/- 0 of td3 on Pendulum in logs is unknown"),
        (2, 2, 1, "No run with two or more evaluations, shown as 0.0 +/- 0.0: td3 on Pendulum in logs"),
    ],
)
def test_what_rl_zoo3_shows_as_0_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    runs: int,
    episodes: int,
    count: int,
    expected: str,
) -> None:
    plt.close("all")
    for seed in (1, 2, 3)[:runs]:
        write_evaluations(tmp_path / "logs", "td3", seed, episodes, count)
        write_evaluations(tmp_path / "logs", "ddpg", seed + 10)
    write_evaluations(tmp_path / "logs", "ddpg", 14)
    assert main(["all-plots", "-a", "td3", "ddpg", "-e", "Pendulum", "-f", "logs", "--no-display"]) == 0
    output = capsys.readouterr()
    assert ("+/- 0" in output.out) == bool(expected)
    assert output.err.startswith(expected)
    assert len(output.err.splitlines()) == bool(expected)
