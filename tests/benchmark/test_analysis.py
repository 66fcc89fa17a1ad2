import dataclasses

import numpy as np
import pandas as pd
import pytest

from sb3_dpg.benchmark import provenance
from sb3_dpg.benchmark.analysis.scores import Reference, by_processor, fallen, load_references, lost, time_to_solve
from sb3_dpg.benchmark.analysis.selection import check_comparable, select
from sb3_dpg.benchmark.analysis.suite import compare, make_suite
from sb3_dpg.benchmark.configuration import EvaluationProtocol
from sb3_dpg.benchmark.progress import Estimator, time_together
from sb3_dpg.benchmark.results import Results, read_results
from sb3_dpg.common.errors import ConfigurationError
from tests.benchmark.samples import make_plan, make_records, write_results

SCALE = Reference(random=-1000.0, random_source="", reference=0.0, reference_source="")


def test_a_random_agent_scores_0_and_the_reference_1():
    for scale in load_references().values():
        assert scale.normalise(np.array([scale.random, scale.reference])).tolist() == [0.0, 1.0]
        assert scale.random_source
        assert scale.reference_source


def test_stability_with_negative_returns():
    returns = np.array(
        [
            [-900.0, -200.0, -200.0],  # keeps its best
            [-900.0, -200.0, -350.0],  # 0.8 -> 0.65: lost less than a fifth of what it had
            [-900.0, -200.0, -370.0],  # 0.8 -> 0.63: lost more
            [-1100.0, -1200.0, -1500.0],  # never better than a random agent
        ]
    )
    assert lost(SCALE.normalise(returns)).tolist() == [False, False, True, False]


def test_fallen_is_below_six_tenths_of_the_best_so_far_in_the_second_half():
    returns = np.array(
        [
            [100.0, 0.0, 60.0, 59.9],  # what was before the second half does not count, but sets the mark
            [-9.0, -9.0, 10.0, 100.0],  # the best of later evaluations is no mark yet
            [-9.0, -5.0, -50.0, -50.0],  # nothing to fall from
            [-9.0, -5.0, -50.0, 1.0],  # nothing to fall from in time
            [5.0, 10.0, -1.0, 5.9],
        ]
    )
    np.testing.assert_array_equal(fallen(returns), [0.5, 0.0, np.nan, 0.0, 1.0])
    # Of an odd number the one in the middle belongs to the second half
    np.testing.assert_array_equal(fallen(np.array([[10.0, 1.0, 10.0]])), [0.5])


def table_of(returns, seconds=1.0, machine="Linux x86_64, AMD EPYC, 2 cores"):
    steps = [10, 20, 30, 40]
    return pd.DataFrame(
        {"mean_return": returns, "cpu_time": [seconds * step for step in steps], "machine": machine}, index=steps
    )


def test_time_to_solve_is_a_median_in_which_never_is_infinitely_long():
    runs = {0: table_of([0, 5, 9, 0]), 1: table_of([5, 0, 0, 0], seconds=2.0), 2: table_of([0, 0, 0, 0])}
    assert time_to_solve(runs, 5) == (2, 20, 20)
    assert time_to_solve(runs, 9) == (1, np.inf, np.inf)
    # Of an even number never counts as much
    assert time_to_solve({0: runs[0], 1: runs[1]}, 5) == (2, 15, 20)
    assert time_to_solve({0: runs[0], 2: runs[2]}, 5) == (1, np.inf, np.inf)


def test_two_in_a_row_count_from_the_second_of_them():
    runs = {0: table_of([0, 5, 9, 0]), 1: table_of([5, 0, 5, 5], seconds=2.0), 2: table_of([5, 0, 5, 0])}
    assert time_to_solve(runs, 5, in_a_row=2) == (2, 40, 80)
    assert time_to_solve({0: runs[0]}, 5, in_a_row=2) == (1, 30, 30)
    assert time_to_solve({1: runs[1]}, 5, in_a_row=2) == (1, 40, 80)
    assert time_to_solve({2: runs[2]}, 5, in_a_row=2)[0] == 0


def test_cores_and_system_do_not_make_another_processor():
    machines = ("Linux x86_64, AMD EPYC, 2 cores", "Linux x86_64, Intel(R), 2 cores", "Darwin x86_64, AMD EPYC, 64 cores", "?")
    groups = by_processor({seed: table_of([0] * 4, machine=machine) for seed, machine in enumerate(machines)})
    assert {processor: list(runs) for processor, runs in groups.items()} == {"AMD EPYC": [0, 2], "Intel(R)": [1], "?": [3]}


def test_processors_of_one_name_and_two_generations_are_two(tmp_path, monkeypatch):
    core = "processor\t: {}\nmodel\t\t: {}\nmodel name\t: AMD EPYC\ncpu family\t: 25\nflags\t\t: a b\n\n"
    machines = []
    for generation in (1, 17):
        monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
        provenance.CPU_INFO.write_text("".join(core.format(index, generation) for index in range(2)))
        machines.append(provenance.provenance()["machine"])
    groups = by_processor({seed: table_of([0] * 4, machine=machine) for seed, machine in enumerate(machines)})
    assert list(groups) == ["AMD EPYC (family 25 model 1)", "AMD EPYC (family 25 model 17)"]


def test_processors_that_are_known_by_numbers_alone_are_two(tmp_path, monkeypatch):
    machines = []
    for part in ("0xd0c", "0xd40"):
        monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
        provenance.CPU_INFO.write_text(f"processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: {part}\n")
        machines.append(provenance.provenance()["machine"])
    groups = list(by_processor({seed: table_of([0] * 4, machine=machine) for seed, machine in enumerate(machines)}))
    assert [group.partition(" (")[2] for group in groups] == ["implementer 0x41 part 0xd0c)", "implementer 0x41 part 0xd40)"]


def test_selection_orders_returns_by_seed_and_step(tmp_path):
    plan = make_plan()
    results = write_results(tmp_path, plan)
    selection = select(plan, results.evaluations)
    assert selection.caveats == []
    returns = selection.mean_returns("Hopper-v5", "ddpg")
    assert returns.columns.tolist() == [25, 50, 75, 100]
    for run in plan.runs:
        if (run.configuration.environment, run.configuration.algorithm) == ("Hopper-v5", "ddpg"):
            expected = [np.mean(record["returns"]) for record in make_records(run)]
            np.testing.assert_allclose(returns.loc[run.seed], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 101}, "'bnddpg' and 'ddpg' cannot be compared: 100 and 101 steps"),
        ({"evaluation": EvaluationProtocol(4, 3)}, "cannot be compared: .*episodes=2.*episodes=3"),
        ({"evaluation": EvaluationProtocol(4, 2, False)}, "cannot be compared: .*deterministic=True.*deterministic=False"),
        ({"algorithm": "bnddpg"}, "the name 'bnddpg' means two things"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    plan = make_plan(environments=["Pendulum-v1"])
    ours, theirs = plan.configurations
    check_comparable([ours, theirs])
    with pytest.raises(ConfigurationError, match=message):
        check_comparable([ours, dataclasses.replace(theirs, **change)])


def test_studies_that_differ_in_steps_are_refused_together(tmp_path):
    write_results(tmp_path / "a", make_plan(algorithms=["ddpg"]))
    write_results(tmp_path / "b", make_plan(algorithms=["td3"], steps=200))
    with pytest.raises(ConfigurationError, match="the results differ on Pendulum-v1"):
        read_results([tmp_path / "a", tmp_path / "b"])


def test_several_studies_are_one_and_a_run_of_both_counts_once(tmp_path):
    write_results(tmp_path / "a", make_plan(algorithms=["bnddpg", "ddpg"], seeds=[0, 1]))
    write_results(tmp_path / "b", make_plan(algorithms=["ddpg", "td3"], seeds=[1, 2]))
    study = read_results([tmp_path / "a", tmp_path / "b"])
    assert study.plan.seeds == (0, 1, 2)
    selection = select(study.plan, study.evaluations)
    seeds = {algorithm: list(runs) for algorithm, runs in selection.runs["Pendulum-v1"].items()}
    assert seeds == {"bnddpg": [0, 1], "ddpg": [0, 1, 2], "td3": [1, 2]}
    assert selection.caveats == [], "no other seeds were planned"
    suite = make_suite(selection, load_references())
    assert suite.seeds == seeds
    expected = "Aggregates are of the seeds that an algorithm has on every environment: bnddpg 0, 1; ddpg 0, 1, 2; td3 1, 2."
    assert expected in suite.caveats


def test_a_run_with_other_returns_in_another_folder_is_mentioned(tmp_path):
    plan = make_plan()
    write_results(tmp_path / "a", plan)
    results = write_results(tmp_path / "b", plan)
    assert read_results([tmp_path / "a", tmp_path / "b"]).caveats == []
    results.evaluations.loc[results.evaluations["run_id"] == plan.runs[0].id, "mean_return"] += 1.0
    results._write_evaluations(results.evaluations)
    (mark,) = read_results([tmp_path / "a", tmp_path / "b"]).caveats
    assert mark.startswith("1 run(s) have other returns in another of the folders")


def test_a_run_is_not_stitched_from_two_folders(tmp_path):
    plan = make_plan()
    results = write_results(tmp_path / "a", plan)
    write_results(tmp_path / "b", plan)
    run = plan.runs[0]
    # Edited, or joined by hand
    results._write_evaluations(
        results.evaluations.drop(results.evaluations.index[results.evaluations["run_id"] == run.id][1:])
    )
    study = read_results([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(ConfigurationError, match=f"the results of {run} do not fit .* begin with {run.id}"):
        select(study.plan, study.evaluations)
    study = read_results([tmp_path / "b", tmp_path / "a"])
    assert select(study.plan, study.evaluations).caveats == []


def test_runs_that_do_not_fit_the_plan_are_left_out_and_mentioned(tmp_path):
    write_results(tmp_path, make_plan(algorithms=["ddpg", "td3"]))
    Results(tmp_path).write_plan(make_plan(algorithms=["ddpg"]))
    study = read_results([tmp_path])
    selection = select(study.plan, study.evaluations)
    assert list(selection.runs["Pendulum-v1"]) == ["ddpg"]
    (mark,) = selection.caveats
    assert mark.startswith("6 run(s) in the results are not of this plan")


def test_results_of_other_code_or_machines_are_mentioned(tmp_path):
    plan = make_plan()
    results = write_results(tmp_path, plan)
    table = results.evaluations
    table.loc[(table["seed"] == 1) & (table["algorithm"] == "ddpg"), "git_commit"] = "abc+"
    marks = select(plan, table).caveats
    assert marks[0] == "The runs come from 2 different commits of this repository: 123456789012 (bnddpg, ddpg) | abc+ (ddpg)."
    assert "not committed" in marks[1]


def test_a_tampered_run_is_refused(tmp_path):
    plan = make_plan()
    table = write_results(tmp_path, plan).evaluations
    with pytest.raises(ConfigurationError, match="bnddpg on Pendulum-v1, seed 0 do not fit"):
        select(plan, table.drop(table.index[(table["run_id"] == plan.runs[0].id) & (table["step"] == 50)]))


def test_aggregates_use_seeds_and_algorithms_that_were_run_everywhere(tmp_path):
    plan = make_plan(algorithms=["bnddpg", "ddpg", "copdacq"], environments=["Pendulum-v1", "Hopper-v5", "Acrobot-v1"])

    def absent(run):
        configuration = run.configuration
        name = (configuration.algorithm, configuration.environment)
        return name == ("copdacq", "Hopper-v5") or (name == ("ddpg", "Pendulum-v1") and run.seed == 1)

    results = write_results(tmp_path, plan, leave_out=absent)
    selection = select(plan, results.evaluations)
    references = load_references()
    suite = make_suite(selection, references)
    assert suite.algorithms == ["bnddpg", "ddpg"]
    assert suite.environments == ["Pendulum-v1", "Hopper-v5"], "the third has no reference scores"
    assert suite.seeds == {"bnddpg": [0, 1, 2], "ddpg": [0, 2]}
    assert suite.caveats == [
        "Acrobot-v1 has no reference scores and is left out of all aggregates.",
        "Without a seed that was run on every environment, so in no aggregate: copdacq.",
        "Aggregates are of the seeds that an algorithm has on every environment: bnddpg 0, 1, 2; ddpg 0, 2.",
        "Aggregates of fewer than 3 seeds say next to nothing: those of ddpg.",
    ]
    assert compare(suite).improvement == ({}, {})
    scores = suite.curves["ddpg"]
    assert scores.shape == (2, 2, 4)
    raw = selection.mean_returns("Hopper-v5", "ddpg").loc[2].to_numpy()
    np.testing.assert_allclose(scores[1, 1], references["Hopper-v5"].normalise(raw))
    np.testing.assert_allclose(suite.final["ddpg"], scores[..., 3])
    np.testing.assert_allclose(suite.average["ddpg"], scores.mean(axis=2))


def test_an_algorithm_with_fewer_seeds_by_plan_takes_none_from_the_others(tmp_path):
    plan = dataclasses.replace(make_plan(algorithms=["bnddpg", "crossq"]), fewer_seeds={"crossq": (0, 1)})
    results = write_results(tmp_path, plan)
    assert len(plan.runs) == 2 * (3 + 2)
    selection = select(plan, results.evaluations)
    assert selection.caveats == [], "nothing is missing"
    suite = make_suite(selection, load_references())
    assert suite.seeds == {"bnddpg": [0, 1, 2], "crossq": [0, 1]}
    assert {name: scores.shape for name, scores in suite.final.items()} == {"bnddpg": (3, 2), "crossq": (2, 2)}
    assert suite.caveats == [
        "Aggregates are of the seeds that an algorithm has on every environment: bnddpg 0, 1, 2; crossq 0, 1.",
        "Aggregates of fewer than 3 seeds say next to nothing: those of crossq.",
    ]
    assert read_results([tmp_path]).plan == plan
    write_results(tmp_path / "other", make_plan(algorithms=["crossq"], seeds=[5]))
    assert read_results([tmp_path, tmp_path / "other"]).plan.fewer_seeds == {
        "bnddpg": (0, 1, 2),
        "crossq": (0, 1, 5),
    }


def test_joined_plans_leave_each_algorithm_its_own_seeds(tmp_path):
    write_results(tmp_path / "a", make_plan(algorithms=["bnddpg"]))
    write_results(tmp_path / "b", make_plan(algorithms=["td3"], seeds=[0, 1]))
    joined = read_results([tmp_path / "a", tmp_path / "b"])
    assert joined.plan.seeds == (0, 1, 2)
    assert joined.plan.fewer_seeds == {"td3": (0, 1)}
    selection = select(joined.plan, joined.evaluations)
    assert selection.caveats == [], "nothing is missing"
    assert make_suite(selection, load_references()).seeds == {"bnddpg": [0, 1, 2], "td3": [0, 1]}


def test_algorithms_need_no_seed_in_common(tmp_path):
    plan = make_plan(seeds=[0, 1])
    results = write_results(tmp_path, plan, leave_out=lambda run: (run.configuration.algorithm == "ddpg") == (run.seed == 0))
    suite = make_suite(select(plan, results.evaluations), load_references())
    assert suite.seeds == {"bnddpg": [0], "ddpg": [1]}


def test_an_algorithm_without_a_seed_that_is_done_everywhere_is_left_out(tmp_path):
    write_results(tmp_path / "a", make_plan(algorithms=["bnddpg"], seeds=[0, 1, 2]))
    write_results(
        tmp_path / "b",
        make_plan(algorithms=["td3"], seeds=[0, 1]),
        leave_out=lambda run: run.seed != (0 if run.configuration.environment == "Hopper-v5" else 1),
    )
    joined = read_results([tmp_path / "a", tmp_path / "b"])
    suite = make_suite(select(joined.plan, joined.evaluations), load_references())
    assert suite.algorithms == ["bnddpg"]
    assert "Without a seed that was run on every environment, so in no aggregate: td3." in suite.caveats


def test_an_environment_without_any_run_does_not_take_the_others_along(tmp_path):
    plan = make_plan()
    results = write_results(tmp_path, plan, leave_out=lambda run: run.configuration.environment == "Hopper-v5")
    suite = make_suite(select(plan, results.evaluations), load_references())
    assert (suite.algorithms, suite.environments) == (["bnddpg", "ddpg"], ["Pendulum-v1"])
    assert suite.caveats == ["Hopper-v5 has no finished runs and is left out of all aggregates."]


def test_no_aggregate_over_different_numbers_of_evaluations(tmp_path):
    write_results(tmp_path / "a", make_plan(environments=["Pendulum-v1"], points=4))
    write_results(tmp_path / "b", make_plan(environments=["Hopper-v5"], points=5))
    study = read_results([tmp_path / "a", tmp_path / "b"])
    suite = make_suite(select(study.plan, study.evaluations), load_references())
    assert suite.algorithms == []
    assert suite.caveats == ["No aggregates: the environments have different numbers of evaluations (4, 5)."]


def test_estimates_prefer_the_nearest_earlier_runs(tmp_path):
    plan = make_plan(algorithms=["ddpg"], environments=["Pendulum-v1", "Hopper-v5"], seeds=[0])
    pendulum, hopper = plan.configurations
    nothing = Estimator(Results(tmp_path).evaluations)(pendulum)
    assert nothing.basis == "a guess"
    results = write_results(tmp_path, plan, leave_out=lambda run: run.configuration is hopper)
    estimate = Estimator(results.evaluations)
    assert estimate(pendulum) == (pytest.approx(2.1), "earlier seeds")
    assert estimate(dataclasses.replace(pendulum, steps=200)) == (pytest.approx(4.2), "earlier runs here")
    assert estimate(hopper) == (pytest.approx(2.1), "earlier runs elsewhere")


def test_runs_together_take_as_long_as_the_longest_and_no_job_is_idle_before_the_last():
    assert time_together([], 4) == 0
    assert time_together([5.0, 1.0], 16) == 5
    assert time_together([3.0, 1.0, 1.0, 1.0], 2) == 3
    assert time_together([1.0, 1.0, 1.0, 3.0], 2) == 4
