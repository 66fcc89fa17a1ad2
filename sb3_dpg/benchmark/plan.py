"""Plans: which algorithms, environments and seeds a study has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from sb3_dpg.benchmark.configuration import Configuration, EvaluationProtocol, Run, import_package
from sb3_dpg.benchmark.fields import Fields
from sb3_dpg.common.errors import ConfigurationError, did_you_mean


@dataclass(frozen=True)
class Environment:
    """
    An environment of a plan.

    :param id: Its id
    :param steps: Environment steps of training
    :param threshold: Return that counts as solved, for the steps and seconds to reach it; None for none
    :param package: Module that registers it when it is imported; None for one that Gymnasium knows
    """

    id: str
    steps: int
    threshold: float | None
    package: str | None = None


@dataclass(frozen=True)
class Plan:
    """
    A study.

    :param name: Short name, for folders
    :param description: What it is to show, for the report
    :param environments: Where
    :param seeds: Which seeds each configuration is trained with
    :param configurations: What is trained
    """

    name: str
    description: str
    environments: tuple[Environment, ...]
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs: first one seed of everything, then the next, so that a study cut short is balanced."""
        return [Run(configuration, seed) for seed in self.seeds for configuration in self.configurations]


def find_plan(path_or_name: str) -> Path:
    """
    :param path_or_name: Path of a plan, or the name of one that comes with the package
    :return: Its path
    :raises ConfigurationError: if there is none
    """
    shipped = Path(str(resources.files("sb3_dpg.benchmark"))) / "plans"
    for path in (Path(path_or_name), shipped / f"{path_or_name}.yml"):
        if path.is_file():
            return path
    names = sorted(plan.stem for plan in shipped.glob("*.yml"))
    raise ConfigurationError(
        f"no plan {path_or_name!r}, neither a file nor one of {', '.join(names)}{did_you_mean(path_or_name, names)}"
    )


class _PlanLoader(yaml.SafeLoader):
    """A key that is there twice is an error; PyYAML takes the last one, and an algorithm would be left out of the study."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        # Here and not where the table is made: by then merge keys have been replaced by what they stand for
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return node


def load_plan(path: Path) -> Plan:
    """
    :param path: A plan, a YAML file
    :return: The plan, with the hyperparameters of each configuration read from their files
    :raises ConfigurationError: naming the plan and the key, if it cannot be used
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlanLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    fields = Fields(content, str(path))
    environments = tuple(_environment(name, entry) for name, entry in fields.sections("environments"))
    evaluation = _evaluation_protocol(fields.section("evaluation"), environments)
    configurations = check_distinct(
        configuration
        for label, entry in fields.sections("algorithms")
        for configuration in _configurations(label, entry, environments, evaluation, path.parent)
    )
    plan = Plan(
        name=fields.text("name", default=path.stem),
        description=fields.text("description", default=""),
        environments=environments,
        seeds=_seeds(fields),
        configurations=configurations,
    )
    fields.finish()
    return plan


def _environment(name: str, fields: Fields) -> Environment:
    environment = Environment(
        name,
        steps=fields.integer("steps", minimum=1),
        threshold=fields.number("threshold", default=None),
        package=fields.text("package", default=None),
    )
    fields.finish()
    if ":" in name:
        # Gymnasium's own way to name a module, which rl-zoo3 does not know
        module, env_id = name.split(":", 1)
        raise ConfigurationError(f"{fields.source}: give it as {env_id!r} with the key package: {module}")
    try:
        import_package(environment.package)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{fields.source}: package={environment.package!r}: {error}") from error
    return environment


def _evaluation_protocol(fields: Fields, environments: Iterable[Environment]) -> EvaluationProtocol:
    protocol = EvaluationProtocol(
        points=fields.integer("points", minimum=1),
        episodes=fields.integer("episodes", minimum=1),
        deterministic=fields.boolean("deterministic", default=True),
    )
    fields.finish()
    for environment in environments:
        if protocol.points > environment.steps:
            raise ConfigurationError(
                f"{fields.source}: points={protocol.points} is more than the {environment.steps} steps of {environment.id}"
            )
    return protocol


def _seeds(fields: Fields) -> tuple[int, ...]:
    seeds = fields.take("seeds")
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds >= 1:
        return tuple(range(seeds))
    # NumPy's global generator, which SB3 seeds, takes no larger ones
    if isinstance(seeds, list) and seeds and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds):
        if len(set(seeds)) == len(seeds):
            return tuple(seeds)
    raise ConfigurationError(
        f"{fields.source}: seeds={seeds!r} must be a number of seeds or a list of different seeds from 0 to 2**32 - 1"
    )


def _configurations(
    label: str, fields: Fields, environments: Iterable[Environment], evaluation: EvaluationProtocol, folder: Path
) -> list[Configuration]:
    """
    :param label: The plan's name for the algorithm
    :param fields: What the plan says about it
    :param environments: Those of the plan
    :param evaluation: How agents are evaluated
    :param folder: Where hyperparameter files are looked for
    :return: A configuration for each environment
    """
    from sb3_dpg.benchmark.training import resolve_hyperparameters

    if not label.isprintable() or label.startswith("_") or "$" in label:
        # Matplotlib takes "_" for "not in the legend", and what is between two "$" for a formula
        raise ConfigurationError(
            f"{fields.source}: a name must be one line, not begin with '_' and have no '$', unlike {label!r}"
        )
    algo = fields.text("algo", default=label)
    file = _hyperparameter_file(fields, folder)
    overrides = fields.mapping("hyperparameters")
    own = _own_environments(fields, {environment.id for environment in environments})
    fields.finish()
    configurations = []
    for environment in environments:
        if environment.id in own:
            chosen = {**overrides, **own[environment.id]}
            if "n_timesteps" in chosen:
                raise ConfigurationError(f"{fields.source}: n_timesteps is for the plan's environments to say, by 'steps'")
            chosen["n_timesteps"] = environment.steps
            try:
                hyperparameters = resolve_hyperparameters(algo, environment.id, file, chosen)
            except ConfigurationError as error:
                raise ConfigurationError(f"{fields.source}: {error}") from error
            configurations.append(
                Configuration(label, algo, environment.id, environment.steps, evaluation, hyperparameters, environment.package)
            )
    return configurations


def _hyperparameter_file(fields: Fields, folder: Path) -> str | None:
    """
    :param fields: What the plan says about an algorithm
    :param folder: Where the file is looked for
    :return: What :func:`~sb3_dpg.benchmark.training.resolve_hyperparameters` takes
    """
    file: str | None = fields.text("file", default=None)
    if file is None or file == "none":
        return file
    if not file.endswith((".yml", ".yaml")):
        # rl-zoo3 would import it; the classes and functions of a Python file cannot be kept beside the results
        raise ConfigurationError(f"{fields.source}: file={file!r} must be a YAML file, *.yml, or none")
    return str(folder / file)


def _own_environments(fields: Fields, known: set[str]) -> dict[str, Mapping[str, Any]]:
    """
    :param fields: What the plan says about an algorithm
    :param known: Environments of the plan
    :return: The environments of this algorithm, with its further hyperparameters there
    """
    chosen = fields.take("environments", default=None)
    if chosen is None:
        return {name: {} for name in known}
    if isinstance(chosen, list) and all(isinstance(name, str) for name in chosen):
        chosen = dict.fromkeys(chosen)
    if not isinstance(chosen, dict) or not all(entry is None or isinstance(entry, dict) for entry in chosen.values()):
        raise ConfigurationError(f"{fields.source}: environments must be a list of ids, or hyperparameters for each id")
    if not chosen:
        raise ConfigurationError(f"{fields.source}: environments has no entry; without the key they are all of the plan's")
    for name in map(str, chosen):
        if name not in known:
            raise ConfigurationError(
                f"{fields.source}: {name!r} is none of the plan's environments{did_you_mean(name, known)}"
            )
    return {name: entry or {} for name, entry in chosen.items()}


def check_distinct(configurations: Iterable[Configuration]) -> tuple[Configuration, ...]:
    """
    One result must not appear under two names, as if it were two.

    :param configurations: What is trained
    :return: The same
    :raises ConfigurationError: if two are the same but for their names
    """
    seen: dict[str, Configuration] = {}
    for configuration in configurations:
        if configuration.key in seen:
            names = f"{seen[configuration.key].algorithm!r} and {configuration.algorithm!r}"
            raise ConfigurationError(f"{names} are the same on {configuration.environment}")
        seen[configuration.key] = configuration
    return tuple(seen.values())
