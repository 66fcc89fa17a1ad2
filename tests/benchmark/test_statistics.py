"""The figures against rliable called directly, and against the definitions written out."""

import numpy as np
import pytest
from rliable import library, metrics

from sb3_dpg.benchmark.analysis.statistics import (
    AGGREGATES,
    aggregates,
    interval_estimates,
    iqm,
    iqm_curve,
    performance_profiles,
    probabilities_of_improvement,
)

REPETITIONS = 200


@pytest.fixture(autouse=True)
def _fewer_repetitions(monkeypatch):
    monkeypatch.setattr("sb3_dpg.benchmark.analysis.statistics.REPETITIONS", REPETITIONS)


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    # Rounded: some are equal
    return {"ours": rng.normal(0.6, 0.3, (5, 4)).round(1), "theirs": rng.normal(0.4, 0.3, (5, 4)).round(1)}


def test_aggregates_and_intervals_equal_rliables_own(scores):
    points, intervals = interval_estimates(scores, aggregates)
    for algorithm, values in scores.items():
        np.random.seed(0)
        expected, expected_intervals = library.get_interval_estimates(
            {algorithm: values},
            lambda x: np.array(
                [
                    metrics.aggregate_iqm(x),
                    metrics.aggregate_median(x),
                    metrics.aggregate_mean(x),
                    metrics.aggregate_optimality_gap(x),
                ]
            ),
            reps=REPETITIONS,
        )
        np.testing.assert_allclose(points[algorithm], expected[algorithm], rtol=1e-12)
        np.testing.assert_allclose(intervals[algorithm], expected_intervals[algorithm], rtol=1e-12)


def test_aggregates_and_intervals_equal_their_definitions(scores):
    values = scores["ours"]

    def by_definition(x):
        middle = np.sort(x.ravel())[5:15]  # a quarter of 20 off either end
        return [middle.mean(), np.median(x.mean(axis=0)), x.mean(), 1 - np.minimum(x, 1).mean()]

    np.testing.assert_allclose(aggregates(values), by_definition(values))
    _, intervals = interval_estimates({"ours": values}, aggregates)
    np.random.seed(0)
    # Seeds are drawn anew for each environment: that is what stratified means
    resampled = [by_definition(values[np.random.choice(5, (5, 4)), np.arange(4)]) for _ in range(REPETITIONS)]
    np.testing.assert_allclose(intervals["ours"], np.percentile(resampled, [2.5, 97.5], axis=0))
    assert len(AGGREGATES) == 4


def test_figures_of_an_algorithm_do_not_depend_on_the_others_and_leave_numpys_generator_alone(scores):
    np.random.seed(7)
    expected = np.random.rand()
    np.random.seed(7)
    _, together = interval_estimates(scores, iqm)
    assert np.random.rand() == expected
    _, alone = interval_estimates({"theirs": scores["theirs"]}, iqm)
    np.testing.assert_array_equal(together["theirs"], alone["theirs"])


def test_performance_profile_is_the_share_of_runs_above(scores):
    thresholds = np.array([-10.0, 0.5, 10.0])
    profiles, intervals = performance_profiles(scores, thresholds)
    for algorithm, values in scores.items():
        np.testing.assert_allclose(profiles[algorithm], [1.0, (values > 0.5).mean(), 0.0])
        np.random.seed(0)
        _, expected = library.create_performance_profile({algorithm: values}, thresholds, reps=REPETITIONS)
        np.testing.assert_array_equal(intervals[algorithm], expected[algorithm])


def test_probability_of_improvement_counts_pairs_of_runs(scores):
    points, intervals = probabilities_of_improvement(scores, "ours")
    assert list(points) == ["ours > theirs"]
    differences = scores["ours"][:, None, :] - scores["theirs"][None, :, :]
    assert (differences == 0).any()
    assert points["ours > theirs"].item() == pytest.approx((differences > 0).mean() + 0.5 * (differences == 0).mean())
    np.random.seed(0)
    _, expected = library.get_interval_estimates(
        {"pair": (scores["ours"], scores["theirs"])}, metrics.probability_of_improvement, reps=REPETITIONS
    )
    np.testing.assert_allclose(intervals["ours > theirs"], expected["pair"], rtol=1e-12)


def test_curve_is_the_iqm_at_each_point(scores):
    curves = np.stack([scores["ours"], 2 * scores["ours"]], axis=-1)
    np.testing.assert_allclose(iqm_curve(curves), [iqm(scores["ours"])[0], 2 * iqm(scores["ours"])[0]])


@pytest.mark.parametrize("n_seeds", [2, 3, 4, 5])
def test_intervals_of_few_seeds_go_from_the_worst_to_the_best(n_seeds):
    scores = np.arange(n_seeds, dtype=float)[:, None]
    _, intervals = interval_estimates({"a": scores}, iqm)
    ends = intervals["a"].ravel().tolist()
    assert (ends == [0.0, n_seeds - 1.0]) == (n_seeds < 5)
