"""The long run's script, on a short run and on samples that leak or slow down."""

import gc

import pytest

from scripts.long_run import MODELS, POINTS, Sample, main, report, resident_memory, run, stability

MIB = 2**20


def make_samples(growth: float = 0.0, slowdown: float = 0.0) -> list[Sample]:
    """Memory and speed change evenly, and are far off during the warm-up."""
    samples = []
    for point in range(POINTS):
        share = max(0, point - 4) / (POINTS - 5)
        speed = 1000.0 * (1.0 - slowdown * share) if point >= 4 else 5.0
        memory = int(100 * MIB * (1.0 + growth * share)) if point >= 4 else MIB
        samples.append(Sample(100 * (point + 1), memory, speed))
    return samples


@pytest.mark.parametrize(
    ("growth", "slowdown", "flat"), [(0.0, 0.0, True), (0.04, 0.05, True), (0.06, 0.0, False), (0.0, 0.2, False)]
)
def test_growth_and_slowdown(growth: float, slowdown: float, flat: bool) -> None:
    samples = make_samples(growth, slowdown)
    result = stability(samples)
    assert result.growth == pytest.approx(growth, abs=1e-6)
    # Medians of the first and the last quarter, not the first and the last sample
    assert 0.7 * slowdown <= result.slowdown <= slowdown
    assert result.flat == flat
    assert ("NOT FLAT" in report("X", samples)) != flat


def test_memory_that_came_and_went_counts() -> None:
    samples = make_samples()
    samples[10] = samples[10]._replace(memory=150 * MIB)
    assert stability(samples).growth == pytest.approx(0.5)


def test_resident_memory_follows_what_is_written() -> None:
    gc.collect()  # what earlier tests left must not be given back meanwhile
    before = resident_memory()
    block = bytearray(b"x") * (256 * MIB)
    assert resident_memory() - before > 0.9 * len(block)


@pytest.mark.parametrize("name", list(MODELS))
def test_short_run(name: str) -> None:
    samples = run(name, 10 * POINTS)
    assert [sample.step for sample in samples] == list(range(10, 10 * POINTS + 1, 10))
    assert all(sample.memory > 50 * MIB and sample.speed > 0 for sample in samples)


def test_too_short_a_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--scale", "0.00001"])
    assert "at least 20 are needed" in capsys.readouterr().err
