"""The report: a Markdown file."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from sb3_dpg.benchmark.analysis.scores import load_references
from sb3_dpg.benchmark.analysis.selection import Selection, select
from sb3_dpg.benchmark.analysis.suite import Suite, compare, make_suite
from sb3_dpg.benchmark.report.figures import draw_all
from sb3_dpg.benchmark.report.tables import (
    aggregate_section,
    environment_section,
    explanation,
    holding_section,
    hyperparameter_section,
    items,
    protocol_section,
    summary_section,
    time_to_solve_section,
)
from sb3_dpg.benchmark.results import JoinedResults, read_results
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.save_util import write_atomically


def write_report(folders: Sequence[Path], output: Path | None = None) -> Path:
    """
    Write the tables and figures of a plan. The same results give the same files, byte for byte, with the same versions of
    Matplotlib and rliable.

    :param folders: Results folders; several are compared as those of one plan
    :param output: The report, by default ``benchmark.md`` in the folder; a comparison of several folders needs one of its own.
        Figures are in the subfolder ``figures`` of the results, those of a comparison beside the report
    :return: The report
    :raises ConfigurationError: if there are no results, or they are not comparable
    """
    if output is None:
        if len(folders) > 1:
            raise ConfigurationError("a report on several results folders belongs to none of them: say where by --output")
        output = folders[0] / "benchmark.md"
    if output.is_dir():
        raise ConfigurationError(f"{output}: a folder; the report is a Markdown file")
    figures = folders[0] / "figures" if len(folders) == 1 else output.with_name(f"{output.stem}_figures")
    results = read_results(folders)
    plan = results.plan
    selection = select(plan, results.evaluations)
    if not any(selection.runs.values()):
        raise ConfigurationError(f"{folders[0]}: no run of the plan {plan.name!r} is complete")
    references = {name: scale for name, scale in load_references().items() if name in selection.runs}
    suite = make_suite(selection, references)
    comparison = compare(suite)
    links = quote(Path(os.path.relpath(figures, output.parent)).as_posix())
    curves, *others = (f"![{caption}]({links}/{name})\n" for name, caption in draw_all(selection, comparison, figures).items())
    parts = [
        f"# {plan.name}\n",
        "<!-- Written by `sb3-dpg benchmark report`; do not edit. -->\n",
        f"{plan.description}\n",
        curves,
        summary_section(selection, comparison),
        _caveats(selection, suite, results),
        time_to_solve_section(selection),
        aggregate_section(comparison) if comparison is not None else "",
        *others,
        holding_section(selection, references),
        "## Environments\n",
        explanation(references),
        *(environment_section(selection, entry, references.get(entry.id)) for entry in plan.environments),
        "## Protocol\n",
        protocol_section(selection),
        "## Hyperparameters\n",
        hyperparameter_section(plan),
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, "\n".join(part for part in parts if part))
    return output


def _caveats(selection: Selection, suite: Suite, results: JoinedResults) -> str:
    """What a reader must know before comparing."""
    wanted = {run.id for run in selection.plan.runs}
    failed = [
        f"{row['algorithm']} on {row['environment']}, seed {row['seed']}, failed: `{row['error']}`"
        for _, row in results.failures[results.failures["run_id"].isin(wanted)].iterrows()
    ]
    caveats = [*selection.caveats, *results.caveats, *suite.caveats, *failed]
    return f"**Mind when comparing:**\n\n{items(caveats)}" if caveats else ""
