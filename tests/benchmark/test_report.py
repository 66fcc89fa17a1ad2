import dataclasses
import hashlib
import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from sb3_dpg.benchmark.analysis import statistics
from sb3_dpg.benchmark.analysis.scores import Reference, load_references
from sb3_dpg.benchmark.analysis.selection import select
from sb3_dpg.benchmark.analysis.suite import compare, make_suite
from sb3_dpg.benchmark.configuration import Environment
from sb3_dpg.benchmark.report import write_report
from sb3_dpg.benchmark.report.figures import CURVES_PER_PANEL, learning_curves, make_styles
from sb3_dpg.benchmark.report.tables import holding_section, summary_section, time_to_solve_section
from sb3_dpg.benchmark.results import Results
from sb3_dpg.common.errors import ConfigurationError
from tests.benchmark.samples import make_plan, write_results


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".md", ".png")
    }


@pytest.fixture(scope="module")
def _quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "REPETITIONS", 20)
        yield


@pytest.fixture
def _no_figures(monkeypatch):
    """Drawn but not rendered, which takes most of the time of a report."""
    monkeypatch.setattr("sb3_dpg.benchmark.report.figures.save_figure", lambda figure, path: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, _quick):
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, make_plan(algorithms=["bnddpg", "ddpg", "td3"]))
    write_report([folder])
    return folder


def test_the_report_is_the_same_byte_for_byte_whatever_the_users_settings(folder):
    before = digests(folder)
    assert set(before) == {
        "benchmark.md",
        "figures/learning_curves.png",
        "figures/performance_profile.png",
        "figures/sample_efficiency.png",
    }
    with matplotlib.rc_context({"lines.linewidth": 7, "savefig.dpi": 33, "font.family": "serif", "axes.facecolor": "red"}):
        np.random.seed(5)
        write_report([folder])
    assert digests(folder) == before


def test_the_report_has_what_was_measured(folder):
    text = (folder / "benchmark.md").read_text()
    assert "3 seeds x 2 environments (Pendulum-v1, Hopper-v5)" in text
    assert "bnddpg > td3" in text
    assert "### Pendulum-v1, 100 steps" in text
    assert "\n| Pendulum-v1, -200 | bnddpg | here | " in text
    assert "Mind when comparing" not in text
    for link in ("learning_curves", "sample_efficiency", "performance_profile"):
        assert f"](figures/{link}.png)" in text


@pytest.mark.usefixtures("_quick", "_no_figures")
def test_what_is_missing_or_failed_is_told_before_everything_else(tmp_path):
    plan = make_plan()
    write_results(tmp_path, plan, leave_out=lambda run: run == plan.runs[-1])
    Results(tmp_path).fail(plan.runs[-1], "Traceback\nMemoryError: no memory")
    text = write_report([tmp_path]).read_text()
    marks = text.partition("## ")[0]
    assert "ddpg: no result for seed 2 on Hopper-v5." in marks
    assert "ddpg on Hopper-v5, seed 2, failed: `MemoryError: no memory`" in marks
    assert "Aggregates are of the seeds that an algorithm has on every environment: bnddpg 0, 1, 2; ddpg 0, 1." in marks


@pytest.mark.usefixtures("_quick", "_no_figures")
def test_a_seed_that_is_missing_everywhere_is_told_once(tmp_path):
    plan = make_plan()
    write_results(tmp_path, plan, leave_out=lambda run: run.configuration.algorithm == "ddpg" and run.seed > 0)
    assert "\n- ddpg: no result for seed 1, 2 on any of its environments.\n" in write_report([tmp_path]).read_text()


@pytest.mark.usefixtures("_quick", "_no_figures")
def test_one_seed_has_neither_interval_nor_deviation(tmp_path):
    write_results(tmp_path, make_plan(seeds=[0]))
    tables = write_report([tmp_path]).read_text().partition("## Protocol")[0]
    rows = [row for row in tables.splitlines() if row.startswith("| ") and " [95 % CI]" not in row]
    assert rows
    assert not any("[" in row or "±" in row for row in rows)


@pytest.mark.usefixtures("_quick")
def test_a_report_of_one_run_of_one_algorithm(tmp_path):
    write_results(tmp_path, make_plan(algorithms=["ddpg"], environments=["Acrobot-v1"], seeds=[0]))
    text = write_report([tmp_path], tmp_path / "elsewhere" / "report.md").read_text()
    assert "Acrobot-v1 has no reference scores" in text
    assert "](../figures/learning_curves.png)" in text
    assert (tmp_path / "figures" / "learning_curves.png").is_file()


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("threshold", "text"), [(1234567, "1,234,567"), (-200, "-200"), (1000.0, "1,000"), (0.1, "0.1"), (-151.855, "-151.855")]
)
def test_thresholds_have_all_their_digits(tmp_path, threshold, text):
    environments = (Environment("Pendulum-v1", 100, threshold),)
    plan = dataclasses.replace(make_plan(environments=["Pendulum-v1"]), environments=environments)
    selection = select(plan, write_results(tmp_path, plan).evaluations)
    assert f"| Pendulum-v1, {text} |" in time_to_solve_section(selection)


def test_time_to_solve_has_a_row_for_each_processor_and_names_the_steps_that_were_not_enough(tmp_path):
    plan = make_plan(algorithms=["ddpg"], environments=["Pendulum-v1"], points=2)
    table = write_results(tmp_path, plan).evaluations
    table["mean_return"] = [-300.0, -100.0, -300.0, -300.0, -150.0, -100.0]
    table["cpu_time"] = [1.0, 2.0, 1.0, 2.0, 10.0, 20.0]
    table.loc[table["seed"] == 2, "machine"] = "Linux x86_64, Intel(R) Xeon(R), 2 cores"
    rows = [line for line in time_to_solve_section(select(plan, table)).splitlines() if line.startswith("| Pendulum-v1")]
    assert rows == [
        "| Pendulum-v1, -200 | ddpg | several | 2 of 3 | 100 | - | 1 of 3 | not in 100 | - | - |",
        "| Pendulum-v1, -200 | ddpg | here | 1 of 2 | not in 100 | - | 0 of 2 | not in 100 | - | 20.00 |",
        "| Pendulum-v1, -200 | ddpg | Intel(R) Xeon(R) | 1 of 1 | 50 | 10.0 | 1 of 1 | 100 | 20.0 | 200.00 |",
    ]


@pytest.mark.usefixtures("_quick")
def test_the_first_table_has_a_line_for_each_algorithm(tmp_path):
    plan = make_plan(environments=["Pendulum-v1", "Hopper-v5"], seeds=[0, 1], points=2)
    table = write_results(tmp_path, plan).evaluations
    table["mean_return"] = np.where(table["step"] == 50, 5.0, 20.0 + 10 * table["seed"])
    is_absent = (table["algorithm"] == "ddpg") & (table["environment"] == "Hopper-v5")
    selection = select(plan, table[~is_absent | (table["seed"] == 1)])
    rows = [line for line in summary_section(selection, None).splitlines() if line.startswith("|")]
    assert rows == [
        "| algorithm | Pendulum-v1 | Hopper-v5 |",
        "| :-- | --: | --: |",
        "| bnddpg | 25.0 (2) | 25.0 (2) |",
        "| ddpg | 25.0 (2) | 30.0 (1) |",
    ]
    rows = summary_section(select(plan, table[~is_absent]), None).splitlines()
    assert rows[-1] == "| ddpg | 25.0 (2) | - |"
    without = summary_section(select(plan, table[table["algorithm"] != "ddpg"]), None)
    assert "\n| bnddpg |" in without
    assert "\n| ddpg |" not in without
    comparison = compare(make_suite(selection, load_references()))
    (row,) = [line for line in summary_section(selection, comparison).splitlines() if line.startswith("| bnddpg")]
    # The middle two of four: (20 + 1233.66) / (1233.66 - 151.855) and (30 - 18.43) / (3606.39 - 18.43)
    assert row == "| bnddpg | 25.0 (2) | 25.0 (2) | 0.58 [0.58, 0.59] (2) |"


@pytest.mark.usefixtures("_quick", "_no_figures")
def test_the_first_screen_has_the_curves_and_one_table_and_commits_come_later(tmp_path):
    plan = make_plan()
    table = write_results(tmp_path, plan).evaluations
    table.loc[table["seed"] == 1, "git_commit"] = "another"
    Results(tmp_path)._write_evaluations(table)
    text = write_report([tmp_path]).read_text()
    order = [
        "](figures/learning_curves.png)",
        "\n| bnddpg | ",
        "Mind when comparing",
        "another",
        "## Time to solve",
        "## Holding",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.count("![") > 1
    assert "![" not in text[places[1] : places[3]]


def test_holding_counts_the_second_half_and_leaves_out_what_never_was_positive(tmp_path):
    plan = make_plan(algorithms=["ddpg"], environments=["Hopper-v5", "Pendulum-v1"])
    table = write_results(tmp_path, plan).evaluations
    # By environment, seed and step
    hopper = [100.0, 10.0, 59.0, 60.0, 50.0, 100.0, 100.0, 90.0, -4.0, -1.0, -2.0, -9.0]
    table["mean_return"] = [*hopper, *np.linspace(-1000.0, -150.0, 12)]
    rows = holding_section(select(plan, table), {}).splitlines()
    assert rows[-1] == "| Hopper-v5 | ddpg | 2 of 3 | 25 % | 50 % | 19.3 | 40.0 |"
    assert not any("Pendulum" in row for row in rows)
    # Where an environment has its zero is not the agent's doing
    table["mean_return"] -= 300.0
    shifted = holding_section(select(plan, table), {"Hopper-v5": Reference(-300.0, "", -200.0, "")}).splitlines()
    assert shifted[-1] == rows[-1]


def test_without_a_threshold_there_is_no_time_to_solve(tmp_path):
    environments = (Environment("Pendulum-v1", 100, None),)
    plan = dataclasses.replace(make_plan(environments=["Pendulum-v1"]), environments=environments)
    assert time_to_solve_section(select(plan, write_results(tmp_path, plan).evaluations)) == ""


@pytest.mark.usefixtures("_quick")
def test_names_and_paths_may_have_what_markdown_and_rliable_give_a_meaning(tmp_path):
    names = ["a | b", "größer > kleiner"]
    write_results(tmp_path / "my results", make_plan(algorithms=names, environments=["Pendulum-v1"]))
    text = write_report([tmp_path / "my results"], tmp_path / "report.md").read_text(encoding="utf-8")
    assert "](my%20results/figures/performance_profile.png)" in text
    assert "\n| a \\| b > größer > kleiner | " in text
    for rows in itertools.pairwise(text.replace("\\|", "").splitlines()):
        if all(row.startswith("|") for row in rows):
            assert rows[0].count("|") == rows[1].count("|"), "as many cells as columns"


def test_a_report_cannot_be_written_to_a_folder(tmp_path):
    write_results(tmp_path, make_plan())
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match="folder: a folder; the report is a Markdown file"):
        write_report([tmp_path], tmp_path / "folder")


@pytest.mark.usefixtures("_quick")
def test_more_curves_than_a_panel_can_show_are_drawn_each_beside_the_first(tmp_path):
    names = [f"a{index}" for index in range(CURVES_PER_PANEL + 1)]
    for algorithms, titles in ((names[:3], ["Hopper-v5"]), (names, [f"Hopper-v5: {name}" for name in names[1:]])):
        plan = make_plan(algorithms=algorithms, environments=["Hopper-v5"])
        runs = select(plan, write_results(tmp_path / str(len(algorithms)), plan).evaluations)
        drawn = learning_curves(runs, make_styles(algorithms)).axes
        labels = [axes.get_legend_handles_labels()[1] for axes in drawn]
        assert [axes.get_title() for axes in drawn] == titles
        # With the number of seeds
        named = [f"{name} (3 seeds)" for name in algorithms]
        assert labels == ([named] if len(titles) == 1 else [[named[0], name] for name in named[1:]])


@pytest.mark.usefixtures("_quick", "_no_figures")
def test_environments_with_different_protocols_are_named(tmp_path):
    write_results(tmp_path / "a", make_plan(environments=["Pendulum-v1"], points=4))
    write_results(tmp_path / "b", make_plan(environments=["Hopper-v5"], points=5))
    text = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "both.md").read_text()
    assert "- Pendulum-v1: 4 evaluations" in text
    assert "- Hopper-v5: 5 evaluations" in text
    assert "No aggregates" in text.partition("## ")[0]


def test_no_report_without_results(tmp_path):
    with pytest.raises(ConfigurationError, match="no results of a benchmark"):
        write_report([tmp_path])
    Results(tmp_path).write_plan(make_plan())
    with pytest.raises(ConfigurationError, match="no run of the plan 'study' is complete"):
        write_report([tmp_path])
