"""Plots: every figure is saved, under a name of its own."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sb3_dpg.zoo.cli import main
from sb3_dpg.zoo.figures import BACKEND, save_figures


def write_evaluations(folder: Path, algo: str, seed: int) -> None:
    """What a training of 4 evaluations of 2 episodes leaves."""
    run = folder / algo / f"Pendulum-v1_{seed}"
    run.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    results = rng.normal(-500, 10, (4, 2))
    np.savez(run / "evaluations.npz", timesteps=np.arange(100, 500, 100), results=results, ep_lengths=np.full((4, 2), 200))


@pytest.mark.filterwarnings("ignore")
def test_all_of_rliables_figures_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rliable")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
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
    plt.switch_backend(BACKEND)
    for _ in range(2):
        plt.figure().canvas.manager.set_window_title("a title")  # type: ignore[union-attr]
    save_figures(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_title.png", "a_title_2.png"]
