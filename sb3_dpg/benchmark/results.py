"""The results of a plan on disk: one folder of text files, whole at any moment; several folders are read as one."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd
import yaml

from sb3_dpg.benchmark.configuration import Configuration, Environment, EvaluationProtocol, Plan, Run, as_table, check_distinct
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.save_util import write_atomically

PLAN_FILE = "study.yml"
EVALUATIONS_FILE = "evaluations.csv"
FAILURES_FILE = "failures.csv"

#: Which run a row is of
_RUN_COLUMNS = ("run_id", "algorithm", "algo", "environment", "seed")
#: One row for each evaluation
EVALUATION_COLUMNS = (
    *_RUN_COLUMNS,
    *("step", "mean_return", "returns", "lengths"),
    *("wall_time", "cpu_time", "evaluation_time", "steps_per_second"),
    *("versions", "git_commit", "machine"),
)
FAILURE_COLUMNS = (*_RUN_COLUMNS, "error", "traceback")
#: Columns of several values, in the file separated by spaces
_LISTS = {"returns": float, "lengths": int}
#: Digits behind the point of what is measured by a clock
_TIME_DIGITS = {"wall_time": 3, "cpu_time": 3, "evaluation_time": 3, "steps_per_second": 2}
#: Types of all columns: of a file that was cut off or edited, what is no number is an error when it is read; and a text is one
#: even where it looks like a number, as some commits do
_TYPES = {
    **dict.fromkeys(("run_id", "algorithm", "algo", "environment", *_LISTS, "versions", "git_commit", "machine"), str),
    **dict.fromkeys(("seed", "step"), int),
    **dict.fromkeys(("mean_return", *_TIME_DIGITS), float),
}

Item = TypeVar("Item")


class Results:
    """
    The results folder of a plan: ``evaluations.csv``, ``failures.csv`` and the plan with all hyperparameters, ``study.yml``.

    Only the process that directs the runs writes here; a run is added when it is complete, all its evaluations at once.
    Runs of earlier versions of a plan stay in the files; reports leave them out.

    :param folder: The folder, made when the first file is written
    :raises ConfigurationError: if a file in it cannot be read
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.evaluations = read_evaluations(folder / EVALUATIONS_FILE)
        self.failures = _read_table(folder / FAILURES_FILE, FAILURE_COLUMNS)

    @property
    def completed(self) -> set[str]:
        """Ids of the runs that are complete."""
        return set(self.evaluations["run_id"])

    def missing(self, plan: Plan) -> list[Run]:
        """The plan's runs that are not complete; refuses a run of which some evaluations are there and others not."""
        by_id = dict(iter(self.evaluations.groupby("run_id")))
        for run in plan.runs:
            if run.id in by_id:
                try:
                    run.check_complete(sorted(by_id[run.id]["step"]), by_id[run.id]["returns"])
                except ConfigurationError as error:
                    raise ConfigurationError(f"{self.folder}: {error}") from error
        return [run for run in plan.runs if run.id not in by_id]

    def add(self, run: Run, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep the evaluations of a run that is complete."""
        assert run.id not in self.completed, f"{run} is there already"
        rows = [
            {**_run_columns(run), **record, "mean_return": sum(record["returns"]) / len(record["returns"])}
            for record in records
        ]
        self._append(pd.DataFrame(rows, columns=list(EVALUATION_COLUMNS)).round(_TIME_DIGITS))
        self._forget_failures([run.id])

    def reuse(self, other: "Results", plan: Plan) -> int:
        """
        Take the runs that another results folder has.

        :param other: That folder
        :param plan: The plan whose missing runs are looked for
        :return: How many were found
        :raises ConfigurationError: if the other folder has some evaluations of a run and others not
        """
        other.missing(plan)
        names = {run.id: run.configuration.algorithm for run in self.missing(plan)}
        found = other.evaluations[other.evaluations["run_id"].isin(names)]
        if len(found):
            self._append(found.assign(algorithm=found["run_id"].map(names)))
        return int(found["run_id"].nunique())

    def fail(self, run: Run, error: str) -> None:
        """Keep the error, a traceback or a message, of a run that failed."""
        self._forget_failures([run.id])
        # pandas reads a carriage return as the end of a row
        error = error.replace("\r", "\n")
        row = {**_run_columns(run), "error": error_line(error), "traceback": error.strip()}
        self.failures = join_tables([self.failures, pd.DataFrame([row], columns=list(FAILURE_COLUMNS))])
        self._write(FAILURES_FILE, self.failures)

    def clean_up(self, plan: Plan) -> None:
        """
        Rename what has another name in the plan by now, and forget failures of runs that are complete: those of runs that
        were reused, or completed just before this process's predecessor was killed.

        :param plan: The plan that is run
        """
        self._forget_failures(self.completed)
        names = {run.id: run.configuration.algorithm for run in plan.runs}
        renamed = self.evaluations["run_id"].map(names).fillna(self.evaluations["algorithm"])
        if (renamed != self.evaluations["algorithm"]).any():
            self._write_evaluations(self.evaluations.assign(algorithm=renamed))

    def _forget_failures(self, run_ids: Iterable[str]) -> None:
        forgotten = self.failures["run_id"].isin(set(run_ids))
        if forgotten.any():
            self.failures = self.failures[~forgotten]
            self._write(FAILURES_FILE, self.failures)

    def check_plan(self, plan: Plan) -> None:
        """Refuse a plan where the folder has the results of another one."""
        if (self.folder / PLAN_FILE).exists() and (name := read_plan(self.folder).name) != plan.name:
            raise ConfigurationError(
                f"{self.folder}: it has the results of the plan {name!r}, not of {plan.name!r}; take another folder"
            )

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan that is run, with all its hyperparameters; it is refused as by :meth:`check_plan`."""
        self.check_plan(plan)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / PLAN_FILE, plan_to_yaml(plan))

    def _append(self, rows: pd.DataFrame) -> None:
        self._write_evaluations(join_tables([self.evaluations, rows]))

    def _write_evaluations(self, evaluations: pd.DataFrame) -> None:
        """The same table whatever the order in which runs were completed: two versions of the file can be compared."""
        order = ["environment", "algorithm", "seed", "run_id", "step"]
        self.evaluations = evaluations.sort_values(order, kind="stable", ignore_index=True)
        lists = {column: [" ".join(map(repr, values)) for values in self.evaluations[column]] for column in _LISTS}
        self._write(EVALUATIONS_FILE, self.evaluations.assign(**lists))

    def _write(self, name: str, table: pd.DataFrame) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / name, table.to_csv(index=False, lineterminator="\n"))


def error_line(error: str) -> str:
    """The line of a traceback that names the error; behind it a message may have further ones, which say less."""
    lines = error.strip().splitlines()
    start = max((index for index, line in enumerate(lines) if line.startswith("Traceback")), default=-1)
    # The lines of calls are indented
    return next((line for line in lines[start + 1 :] if not line.startswith(" ")), lines[-1])


def join_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of tables with the same columns, at least one table, one after the other."""
    # The columns of an empty table have no type, and pandas will let them spoil that of the others
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _run_columns(run: Run) -> dict[str, Any]:
    configuration = run.configuration
    values = (run.id, configuration.algorithm, configuration.algo, configuration.environment, run.seed)
    return dict(zip(_RUN_COLUMNS, values, strict=True))


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file with these columns, an empty table if there is no such file."""
    if not path.is_file():
        return pd.DataFrame(columns=list(columns))
    try:
        table = pd.read_csv(path, keep_default_na=False, float_precision="round_trip", dtype=_TYPES)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise ConfigurationError(f"{path}: no table of results: the columns {', '.join(missing)} are missing")
    return table


def read_evaluations(path: Path) -> pd.DataFrame:
    """
    :param path: A file of evaluations
    :return: Its content, ``returns`` and ``lengths`` as lists; an empty table if there is no such file
    :raises ConfigurationError: if it cannot be read, or holds an evaluation twice
    """
    table = _read_table(path, EVALUATION_COLUMNS)
    for column, kind in _LISTS.items():
        try:
            table[column] = [[kind(value) for value in values.split()] for values in table[column]]
        except ValueError as error:
            raise ConfigurationError(f"{path}: cannot be read: {column}: {error}") from error
    if table.duplicated(["run_id", "step"]).any():
        raise ConfigurationError(f"{path}: holds evaluations of a run twice")
    return table


def plan_to_yaml(plan: Plan) -> str:
    """The text form of a plan, with the hyperparameters of each configuration."""
    content = {
        "name": plan.name,
        "description": plan.description,
        "seeds": list(plan.seeds),
        "fewer_seeds": {name: list(seeds) for name, seeds in plan.fewer_seeds.items()},
        "environments": [as_table(environment) for environment in plan.environments],
        "configurations": [as_table(configuration) for configuration in plan.configurations],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def read_plan(folder: Path) -> Plan:
    """The plan that was run into a results folder."""
    path = folder / PLAN_FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content["name"], str):
            raise TypeError(f"name={content['name']!r} must be a text")
        return Plan(
            name=content["name"],
            description=content["description"],
            environments=tuple(Environment(**entry) for entry in content["environments"]),
            seeds=tuple(content["seeds"]),
            configurations=tuple(
                Configuration(**{**entry, "evaluation": EvaluationProtocol(**entry["evaluation"])})
                for entry in content["configurations"]
            ),
            fewer_seeds={name: tuple(seeds) for name, seeds in content.get("fewer_seeds", {}).items()},
        )
    except OSError as error:
        raise ConfigurationError(f"{folder}: no results of a benchmark ({PLAN_FILE}: {error.strerror})") from error
    except (yaml.YAMLError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: not written by a benchmark ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from error


class JoinedResults(NamedTuple):
    """
    The results of several folders as those of one plan.

    :param plan: What was to be run
    :param evaluations: Table of results
    :param failures: Table of runs that failed
    :param caveats: What a reader must know about them
    """

    plan: Plan
    evaluations: pd.DataFrame
    failures: pd.DataFrame
    caveats: list[str]


def read_results(folders: Sequence[Path]) -> JoinedResults:
    """
    :param folders: Results folders
    :return: Their results; of a run that several of them have, those of the first count
    :raises ConfigurationError: if one of them cannot be read, or they do not fit together
    """
    plan = _join_plans([read_plan(folder) for folder in folders])
    results = [Results(folder) for folder in folders]
    everything = join_tables([result.evaluations for result in results])
    returns = everything.groupby(["run_id", "step"])["mean_return"].nunique()
    count = returns[returns > 1].index.unique("run_id").size
    caveats = [f"{count} run(s) have other returns in another of the folders; those of the first count."] if count else []
    evaluations = results[0].evaluations
    for result in results[1:]:
        # Whole runs: what a file lacks of its own may be there of another training
        evaluations = join_tables([evaluations, result.evaluations[~result.evaluations["run_id"].isin(evaluations["run_id"])]])
    failures = join_tables([result.failures for result in results]).drop_duplicates("run_id")
    failures = failures[~failures["run_id"].isin(evaluations["run_id"])]
    return JoinedResults(plan, evaluations, failures.reset_index(drop=True), caveats)


def _join_plans(plans: Sequence[Plan]) -> Plan:
    environments = _distinct(environment for plan in plans for environment in plan.environments)
    for environment, other in itertools.combinations(environments, 2):
        if other.id == environment.id:
            raise ConfigurationError(f"the results differ on {environment.id}: {environment} and {other}")
    configurations = {
        (configuration.algorithm, configuration.key): configuration for plan in plans for configuration in plan.configurations
    }
    seeds = _distinct(seed for plan in plans for seed in plan.seeds)
    # Those that its own plans gave an algorithm, not those of the others
    seeds_of = {
        name: _distinct(seed for plan in plans if name in plan.algorithms for seed in plan.seeds_of(name))
        for name in _distinct(name for plan in plans for name in plan.algorithms)
    }
    return Plan(
        name=" and ".join(_distinct(plan.name for plan in plans)),
        description="\n\n".join(_distinct(plan.description for plan in plans)),
        environments=environments,
        seeds=seeds,
        configurations=check_distinct(configurations.values()),
        fewer_seeds={name: of for name, of in seeds_of.items() if set(of) < set(seeds)},
    )


def _distinct(items: Iterable[Item]) -> tuple[Item, ...]:
    """Each item once, in the order of their first occurrence."""
    return tuple(dict.fromkeys(items))
