"""Plans are YAML files: which algorithms, environments and seeds are run."""

import importlib
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from sb3_dpg.benchmark.configuration import Configuration, Environment, EvaluationProtocol, Plan, check_distinct
from sb3_dpg.benchmark.training import resolve_hyperparameters
from sb3_dpg.common.errors import ConfigurationError, did_you_mean

_REQUIRED = object()


def find_plan(path_or_name: str) -> Path:
    """The path of a plan, which is given by that or by the name of one that comes with the package."""
    shipped = Path(str(resources.files("sb3_dpg.benchmark"))) / "plans"
    for path in (Path(path_or_name), shipped / f"{path_or_name}.yml"):
        if path.is_file():
            return path
    names = sorted(plan.stem for plan in shipped.glob("*.yml"))
    raise ConfigurationError(
        f"no plan {path_or_name!r}, neither a file nor one of {', '.join(names)}{did_you_mean(path_or_name, names)}"
    )


def load_plan(path: Path) -> Plan:
    """
    Read a plan. Each of its agents is built once: what cannot be trained is found before anything is run.

    :param path: A plan, a YAML file
    :return: The plan, with the hyperparameters of each configuration read from their files
    :raises ConfigurationError: naming the plan and the key, if it cannot be used
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlanLoader)
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        # ValueError: a date that there is not, or a file that is no text
        raise ConfigurationError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    table = _Table(content, str(path))
    environments = tuple(_environment(name, entry) for name, entry in table.tables("environments"))
    evaluation = _evaluation_protocol(table.table("evaluation"), environments)
    seeds = _seeds(table)
    configurations: list[Configuration] = []
    fewer_seeds = {}
    for label, entry in table.tables("algorithms"):
        if "seeds" in entry:
            fewer_seeds[label] = _seeds(entry, seeds)
        configurations += _configurations(label, entry, environments, evaluation, path.parent)
    plan = Plan(
        name=table.text("name", default=path.stem),
        description=table.text("description", default=""),
        environments=environments,
        seeds=seeds,
        configurations=check_distinct(configurations),
        fewer_seeds=fewer_seeds,
    )
    table.check_all_known()
    return plan


class _PlanLoader(yaml.SafeLoader):
    """A key that is there twice is an error; PyYAML takes the last one, and an algorithm would be left out."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        # Here and not where the table is made: by then merge keys have been replaced by what they stand for
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return node


class _Table:
    """
    A table of a plan, of which each key is to be taken once; errors name the file and the key.

    :param content: The table, None for an empty one
    :param source: File and place in it, for messages
    """

    def __init__(self, content: object, source: str) -> None:
        if not isinstance(content, dict | None):
            raise ConfigurationError(f"{source}: must be a table of keys and values, not {content!r}")
        self.source = source
        self._content: dict[object, Any] = dict(content or {})
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def take(self, key: str, default: Any = _REQUIRED) -> Any:
        """The value of a key, of any type."""
        self._known.append(key)
        value = self._content.pop(key, default)
        if value is _REQUIRED:
            raise ConfigurationError(f"{self.source}: the key {key!r} is missing")
        return value

    def _typed(self, key: str, default: Any, types: tuple[type, ...], expected: str) -> Any:
        value = self.take(key, default)
        if value is not default and type(value) not in types:
            raise ConfigurationError(f"{self.source}: {key}={value!r} must be {expected}")
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> Any:
        """A text, or the default."""
        return self._typed(key, default, (str,), "a text, in quotes if need be")

    def module(self, key: str) -> str | None:
        """The name of a module, which is imported; None where it is not given."""
        name: str | None = self.text(key, default=None)
        if name is not None:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                raise ConfigurationError(f"{self.source}: {key}={name!r}: {error}") from error
        return name

    def boolean(self, key: str, default: bool) -> bool:
        """True or False."""
        return bool(self._typed(key, default, (bool,), "true or false"))

    def number(self, key: str, default: float | None) -> float | None:
        """A finite number, or the default."""
        value: float | None = self._typed(key, default, (int, float), "a number")
        if value is not None and not math.isfinite(value):
            raise ConfigurationError(f"{self.source}: {key}={value} must be finite")
        return value

    def count(self, key: str) -> int:
        """An integer of at least 1."""
        value = self._typed(key, _REQUIRED, (int,), "an integer of at least 1")
        if value < 1:
            raise ConfigurationError(f"{self.source}: {key}={value} must be at least 1")
        return int(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """A table as it is, empty where it is not given."""
        return dict(self._typed(key, None, (dict,), "a table of keys and values") or {})

    def table(self, key: str) -> "_Table":
        """A table, to be read in turn."""
        return _Table(self.take(key), f"{self.source}: {key}")

    def tables(self, key: str) -> list[tuple[str, "_Table"]]:
        """The names of a table of tables, and these, to be read in turn."""
        entries = self._typed(key, _REQUIRED, (dict,), "a table with an entry for each name")
        if not entries:
            raise ConfigurationError(f"{self.source}: {key} has no entry")
        return [(str(name), _Table(entry, f"{self.source}: {key}: {name}")) for name, entry in entries.items()]

    def check_all_known(self) -> None:
        """Raise an error if there is a key that nobody asked for."""
        for key in self._content:
            hint = did_you_mean(str(key), self._known)
            raise ConfigurationError(f"{self.source}: unknown key {key!r}{hint or '.'} Known: {', '.join(self._known)}")


def _environment(name: str, table: _Table) -> Environment:
    environment = Environment(
        name,
        steps=table.count("steps"),
        threshold=table.number("threshold", default=None),
        package=table.module("package"),
    )
    table.check_all_known()
    if ":" in name:
        # Gymnasium's own way to name a module, which rl-zoo3 does not know
        module, env_id = name.split(":", 1)
        raise ConfigurationError(f"{table.source}: give it as {env_id!r} with the key package: {module}")
    return environment


def _evaluation_protocol(table: _Table, environments: Iterable[Environment]) -> EvaluationProtocol:
    protocol = EvaluationProtocol(
        points=table.count("points"),
        episodes=table.count("episodes"),
        deterministic=table.boolean("deterministic", default=True),
    )
    table.check_all_known()
    for environment in environments:
        if protocol.points > environment.steps:
            raise ConfigurationError(
                f"{table.source}: points={protocol.points} is more than the {environment.steps} steps of {environment.id}"
            )
    return protocol


def _seeds(table: _Table, allowed: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """The seeds of the plan, or those of an algorithm: some of the plan's, by a number the first ones."""
    given = seeds = table.take("seeds")
    if type(seeds) is int:
        seeds = list(range(seeds) if allowed is None else allowed[: max(seeds, 0)])
    # NumPy's global generator, which SB3 seeds, takes no larger ones
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)) or (
        len(set(seeds)) < len(seeds)
    ):
        raise ConfigurationError(
            f"{table.source}: seeds={given!r} must be a number of seeds or a list of different seeds from 0 to 2**32 - 1"
        )
    if allowed is not None and (not set(seeds) <= set(allowed) or (type(given) is int and given > len(allowed))):
        raise ConfigurationError(f"{table.source}: seeds={given!r} must be among the plan's, {', '.join(map(str, allowed))}")
    return tuple(seeds)


def _configurations(
    label: str, table: _Table, environments: Iterable[Environment], evaluation: EvaluationProtocol, folder: Path
) -> list[Configuration]:
    """What a plan says about one algorithm, as a configuration for each environment."""
    if not label.isprintable() or label.startswith("_") or "$" in label:
        # Matplotlib takes "_" for "not in the legend", and what is between two "$" for a formula
        raise ConfigurationError(
            f"{table.source}: a name must be one line, not begin with '_' and have no '$', unlike {label!r}"
        )
    algo = table.text("algo", default=label)
    package = table.module("package")
    file = _hyperparameter_file(table, folder)
    overrides = table.mapping("hyperparameters")
    own = _own_environments(table, {environment.id for environment in environments})
    table.check_all_known()
    configurations = []
    for environment in environments:
        if environment.id in own:
            chosen = {**overrides, **own[environment.id]}
            if "n_timesteps" in chosen:
                raise ConfigurationError(f"{table.source}: n_timesteps is for the plan's environments to say, by 'steps'")
            chosen["n_timesteps"] = environment.steps
            try:
                hyperparameters = resolve_hyperparameters(algo, environment.id, file, chosen)
            except ConfigurationError as error:
                raise ConfigurationError(f"{table.source}: {error}") from error
            packages = environment.package, package
            configurations.append(
                Configuration(label, algo, environment.id, environment.steps, evaluation, hyperparameters, *packages)
            )
    return configurations


def _hyperparameter_file(table: _Table, folder: Path) -> str | None:
    """What :func:`~sb3_dpg.benchmark.training.resolve_hyperparameters` takes."""
    file: str | None = table.text("file", default=None)
    if file is None or file == "none":
        return file
    if not file.endswith((".yml", ".yaml")):
        # rl-zoo3 would import it; the classes and functions of a Python file cannot be kept beside the results
        raise ConfigurationError(f"{table.source}: file={file!r} must be a YAML file, *.yml, or none")
    return str(folder / file)


def _own_environments(table: _Table, known: set[str]) -> dict[str, Mapping[str, Any]]:
    """The environments of an algorithm, with its further hyperparameters there."""
    chosen = table.take("environments", default=None)
    if chosen is None:
        return {name: {} for name in known}
    if isinstance(chosen, list) and all(isinstance(name, str) for name in chosen):
        chosen = dict.fromkeys(chosen)
    if not isinstance(chosen, dict) or not all(entry is None or isinstance(entry, dict) for entry in chosen.values()):
        raise ConfigurationError(f"{table.source}: environments must be a list of ids, or hyperparameters for each id")
    if not chosen:
        raise ConfigurationError(f"{table.source}: environments has no entry; without the key they are all of the plan's")
    for name in map(str, chosen):
        if name not in known:
            raise ConfigurationError(f"{table.source}: {name!r} is none of the plan's environments{did_you_mean(name, known)}")
    return {name: entry or {} for name, entry in chosen.items()}
