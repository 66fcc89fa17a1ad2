"""The report: a Markdown file."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from sb3_dpg.benchmark.analysis.comparison import compare
from sb3_dpg.benchmark.analysis.references import load_references
from sb3_dpg.benchmark.analysis.selection import Selection, select
from sb3_dpg.benchmark.analysis.suite import Suite, make_suite
from sb3_dpg.benchmark.report.aggregate import aggregate_section
from sb3_dpg.benchmark.report.environments import environment_section, explanation
from sb3_dpg.benchmark.report.figures import draw_all
from sb3_dpg.benchmark.report.markdown import items
from sb3_dpg.benchmark.report.protocol import hyperparameter_section, protocol_section
from sb3_dpg.benchmark.studies import Study, read_studies
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.save_util import write_atomically


def write_report(folders: Sequence[Path], output: Path | None = None) -> Path:
    """
    Write the tables and figures of a study. The same results give the same files, byte for byte, with the same versions of
    Matplotlib and rliable.

    :param folders: Results folders; several are compared as one study
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
    study = read_studies(folders)
    plan = study.plan
    selection = select(plan, study.evaluations)
    if not any(selection.runs.values()):
        raise ConfigurationError(f"{folders[0]}: no run of the plan {plan.name!r} is complete")
    references = {name: scale for name, scale in load_references().items() if name in selection.runs}
    suite = make_suite(selection, references)
    comparison = compare(suite)
    captions = draw_all(selection, comparison, figures)
    links = quote(Path(os.path.relpath(figures, output.parent)).as_posix())
    parts = [
        f"# {plan.name}\n",
        "<!-- Written by `sb3-dpg benchmark report`; do not edit. -->\n",
        f"{plan.description}\n",
        _marks(selection, suite, study),
        aggregate_section(comparison) if comparison is not None else "",
        *(f"![{caption}]({links}/{name})\n" for name, caption in captions.items()),
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


def _marks(selection: Selection, suite: Suite, study: Study) -> str:
    """What a reader must know before comparing."""
    wanted = {run.id for run in selection.plan.runs}
    failed = [
        f"{row['algorithm']} on {row['environment']}, seed {row['seed']}, failed: `{row['error']}`"
        for _, row in study.failures[study.failures["run_id"].isin(wanted)].iterrows()
    ]
    marks = [*selection.marks, *study.marks, *suite.marks, *failed]
    return f"**Mind when comparing:**\n\n{items(marks)}" if marks else ""
