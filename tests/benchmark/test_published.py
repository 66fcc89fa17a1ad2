"""What is published is what the committed results say; with all bootstrap resamples, unlike the other tests of reports."""

from pathlib import Path

import pytest

from sb3_dpg.benchmark.report import write_report
from sb3_dpg.benchmark.results import PLAN_FILE, Results

CLONE = Path(__file__).parents[2]
# Results without a report are those of a plan that is not done yet
PUBLISHED = sorted(path.parent for path in (CLONE / "docs" / "benchmark").glob("*/benchmark.md"))
PLANS = CLONE / "sb3_dpg" / "benchmark" / "plans"


def by_plan(published):
    # Results whose plan is removed do not change any more, and take minutes
    mark = pytest.mark.slow if (PLANS / f"{published.name}.yml").is_file() else pytest.mark.nightly
    return pytest.param(published, marks=mark, id=published.name)


@pytest.mark.skipif(not PUBLISHED, reason="no published results in this checkout")
@pytest.mark.parametrize("published", [by_plan(path) for path in PUBLISHED])
def test_published_reports_are_what_the_published_results_say(published, tmp_path):
    for name in (PLAN_FILE, "evaluations.csv", "failures.csv"):
        if (published / name).is_file():
            (tmp_path / name).write_bytes((published / name).read_bytes())
    written, text = (path.read_text(encoding="utf-8") for path in (write_report([tmp_path]), published / "benchmark.md"))
    assert written == text
    if published.name == "suite":
        # The first table of the report is that of the page on the benchmark
        table = "| algorithm" + written.partition("\n| algorithm")[2].partition("\n\n")[0]
        assert f"\n\n{table}\n\n" in (CLONE / "docs" / "benchmark.md").read_text(encoding="utf-8")
    # Their pixels depend on Matplotlib's version
    figures = [sorted(path.name for path in (folder / "figures").iterdir()) for folder in (tmp_path, published)]
    assert figures[0] == figures[1]


def test_the_readme_has_the_published_returns():
    table = Results(CLONE / "docs" / "benchmark" / "suite").evaluations
    last = table.sort_values("step").groupby(["environment", "algorithm", "seed"]).last()["mean_return"]
    text = (CLONE / "README.md").read_text(encoding="utf-8")
    header, _, *rows = ("| task |" + text.partition("\n| task |")[2].partition("\n\n")[0]).splitlines()
    algorithms = [title.split(",")[0].strip() for title in header.split("|")[3:-1]]
    assert algorithms[0] == "BNDDPG"
    for row in rows:
        environment, _, *cells = (cell.strip() for cell in row.split("|")[1:-1])
        for algorithm, cell in zip(algorithms, cells, strict=True):
            returns = last[environment, algorithm.lower()]
            mean, *ends = (f"{round(value):,}" for value in (returns.mean(), returns.min(), returns.max()))
            assert cell == (f"{mean} ({' to '.join(ends)})" if len(returns) > 1 else mean), (environment, algorithm)
