import copy
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from rich.console import Console
from rl_zoo3.utils import ALGOS

from sb3_dpg import BNDDPG
from sb3_dpg.benchmark.engine import LocalEngine
from sb3_dpg.benchmark.plan import find_plan, load_plan
from sb3_dpg.benchmark.results import plan_to_yaml, read_plan
from sb3_dpg.benchmark.run import run_plan
from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.common.errors import ConfigurationError

CLONE = Path(__file__).parents[2]
PLAN = {
    "seeds": [3, 1],
    "evaluation": {"points": 4, "episodes": 2},
    "environments": {"Pendulum-v1": {"steps": 100, "threshold": -200}, "MountainCarContinuous-v0": {"steps": 200}},
    "algorithms": {"ddpg": None},
}


def load(folder: Path, content):
    path = folder / "plan.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_plan(path)


@functools.cache
def shipped(path: Path):
    """A plan that builds an agent for each of its configurations, read once."""
    return load_plan(path)


def change(keys, value):
    content = copy.deepcopy(PLAN)
    table = content
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    return content


def test_hyperparameters_come_from_the_zoos_file_and_the_plan_overrides_them(tmp_path):
    overridden = {"algo": "ddpg", "hyperparameters": {"gamma": 0.5}, "environments": {"Pendulum-v1": {"tau": 0.25}}}
    plan = load(tmp_path, change(["algorithms", "other"], overridden))
    tuned, _, other = plan.configurations
    assert (tuned.algorithm, tuned.environment, tuned.steps) == ("ddpg", "Pendulum-v1", 100)
    assert tuned.hyperparameters["learning_starts"] == 10000, "of rl-zoo3's ddpg.yml"
    assert (other.algorithm, other.algo, other.environment) == ("other", "ddpg", "Pendulum-v1")
    assert other.hyperparameters == {**tuned.hyperparameters, "gamma": 0.5, "tau": 0.25}


def test_file_none_leaves_just_what_the_plan_says(tmp_path):
    plan = load(tmp_path, change(["algorithms", "ddpg"], {"file": "none", "hyperparameters": {"policy": "MlpPolicy"}}))
    assert plan.configurations[0].hyperparameters == {"policy": "MlpPolicy", "n_timesteps": 100}


def test_a_file_of_ones_own_is_found_beside_the_plan(tmp_path):
    entry = {"policy": "MlpPolicy", "gamma": 0.125}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({"default": entry}))
    plan = load(tmp_path, change(["algorithms", "ddpg"], {"file": "mine.yml"}))
    assert plan.configurations[0].hyperparameters == {**entry, "n_timesteps": 100}


def test_runs_are_of_one_algorithm_after_the_other_and_of_each_one_seed_after_the_other(tmp_path):
    plan = load(tmp_path, change(["algorithms", "td3"], {"environments": ["Pendulum-v1"]}))
    assert [(run.configuration.algorithm, run.seed, run.configuration.environment) for run in plan.runs] == [
        ("ddpg", 3, "Pendulum-v1"),
        ("ddpg", 3, "MountainCarContinuous-v0"),
        ("ddpg", 1, "Pendulum-v1"),
        ("ddpg", 1, "MountainCarContinuous-v0"),
        ("td3", 3, "Pendulum-v1"),
        ("td3", 1, "Pendulum-v1"),
    ]
    assert load(tmp_path, change(["seeds"], 3)).seeds == (0, 1, 2)


def test_what_only_describes_leaves_the_runs_as_they_are(tmp_path):
    ids = [run.id for run in load(tmp_path, PLAN).runs]
    for keys, value in (
        (["name"], "other"),
        (["description"], "Other."),
        (["environments", "Pendulum-v1", "threshold"], -150),
    ):
        assert [run.id for run in load(tmp_path, change(keys, value)).runs] == ids


PLANS = [*find_plan("tiny").parent.glob("*.yml"), *(CLONE / "scripts" / "plans").glob("*.yml")]


# The algorithms of the one are in an environment of their own
@pytest.mark.parametrize("path", [path for path in PLANS if path.stem != "sbx"], ids=lambda path: path.stem)
def test_plans_can_be_read(path):
    if "LunarLander" in path.read_text():
        pytest.importorskip("Box2D")
    plan = shipped(path)
    assert plan.name == path.stem
    assert plan_to_yaml(plan)
    n_runs = sum(len(plan.seeds_of(configuration.algorithm)) for configuration in plan.configurations)
    assert len({run.id for run in plan.runs}) == n_runs


def test_runs_of_sbx_can_be_reported_with_the_suite():
    suite, sbx = (yaml.safe_load(path.read_text()) for path in (find_plan("suite"), CLONE / "scripts" / "plans" / "sbx.yml"))
    assert sbx["evaluation"] == suite["evaluation"]
    assert sbx["environments"].items() <= suite["environments"].items()
    assert not sbx["algorithms"].keys() & suite["algorithms"].keys()
    assert set(sbx["seeds"]) <= set(suite["seeds"])


def test_td3s_of_the_suite_are_td3_and_differ_in_their_noise():
    pytest.importorskip("Box2D")
    white, ours = (
        {key: value for key, value in entry.hyperparameters.items() if key not in ("policy", "n_timesteps")}
        for entry in shipped(find_plan("suite")).configurations
        if entry.algorithm in ("td3, white noise", "td3, our noise") and entry.environment == "Hopper-v5"
    )
    preset = BNDDPG.td3_kwargs(
        policy_kwargs=dict(net_arch=[256, 256]), learning_starts=1000, action_noise=white["action_noise"]
    )
    models = [BNDDPG("MlpPolicy", "Pendulum-v1", seed=0, **kwargs) for kwargs in (white, preset)]
    first, second = (
        {key: str(value) for key, value in vars(model).items() if isinstance(value, bool | int | float | str | None)}
        for model in models
    )
    assert first == second
    first, second = (str(model.policy) + str(model.actor.optimizer) + str(model.critic.optimizer) for model in models)
    assert first == second
    assert ours == white | {"action_noise": dict(DEFAULT_ACTION_NOISE)}


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["seed"], 1, "unknown key 'seed', did you mean 'seeds'"),
        (["seeds"], [1, 1], r"seeds=\[1, 1\]"),
        (["seeds"], -1, "seeds=-1"),
        (["seeds"], ["a"], r"seeds=\['a'\]"),
        (["seeds"], [2**32], r"seeds=\[4294967296\]"),
        (["evaluation", "points"], 0, "evaluation: points=0 must be at least 1"),
        (["evaluation", "points"], 101, "points=101 is more than the 100 steps of Pendulum-v1"),
        (["evaluation", "episodes"], "5", "evaluation: episodes='5' must be an integer"),
        (["evaluation"], None, "evaluation: the key 'points' is missing"),
        (["environments"], {}, "environments has no entry"),
        (["environments"], ["Pendulum-v1"], "environments=.* must be a table"),
        (["environments", "Pendulum-v1", "steps"], True, "Pendulum-v1: steps=True must be an integer"),
        (["environments", "Pendulum-v1", "threshold"], float("nan"), "Pendulum-v1: threshold=nan must be finite"),
        (["environments", "Pendulum-v7"], {"steps": 100}, "Pendulum-v7"),
        (["algorithms", "ddgp"], None, "algorithm 'ddgp' is unknown, did you mean 'ddpg'"),
        (["algorithms", "ddpg"], {"file": "absent.yml"}, r"absent\.yml: cannot be read"),
        (["algorithms", "ddpg"], {"hyperparameters": {"gama": 1}}, "unknown key 'gama' for DDPG, did you mean 'gamma'"),
        (["algorithms", "ddpg"], {"environments": ["Hopper-v5"]}, "'Hopper-v5' is none of the plan's environments"),
        (["algorithms", "ddpg"], {"file": "mine.py"}, r"file='mine\.py' must be a YAML file"),
        (["algorithms", "ddpg"], {"hyperparameters": {"n_timesteps": 7}}, "n_timesteps is for the plan's environments"),
        (["algorithms", "ddpg"], {"environments": []}, "ddpg: environments has no entry"),
        (["algorithms", "ddpg"], {"environments": [{"Pendulum-v1": None}]}, "environments must be a list of ids"),
        (["algorithms", "ddpg"], {"environments": {5: None}}, "'5' is none of the plan's environments"),
        (["algorithms", "a\rb"], {"algo": "ddpg"}, "must be one line"),
        (["algorithms", "_a"], {"algo": "ddpg"}, "not begin with '_'"),
        (["algorithms", "a $10^{-3$"], {"algo": "ddpg"}, r"have no '\$'"),
        (["environments", "mine:Hill-v0"], {"steps": 100}, "mine:Hill-v0: give it as 'Hill-v0' with the key package: mine"),
        (["environments", "Pendulum-v1", "package"], "no_such", "Pendulum-v1: package='no_such': No module named"),
        (["algorithms", "ddpg"], {"package": "no_such"}, "ddpg: package='no_such': No module named"),
        (["algorithms", "same"], {"algo": "ddpg"}, "'ddpg' and 'same' are the same on Pendulum-v1"),
        (["algorithms", "ddpg"], {"seeds": [1, 2]}, r"ddpg: seeds=\[1, 2\] must be among the plan's, 3, 1"),
        (["algorithms", "ddpg"], {"seeds": 3}, "ddpg: seeds=3 must be among the plan's"),
        (["algorithms", "ddpg"], {"seeds": -1}, "ddpg: seeds=-1 must be a number of seeds"),
        (["algorithms", "ddpg"], {"seeds": []}, r"ddpg: seeds=\[\] must be a number of seeds"),
        (["environments", "CartPole-v1"], {"steps": 100}, "ddpg: CartPole-v1: .*Box.*Discrete"),
        (["algorithms", "ddpg"], {"hyperparameters": {"policy_kwargs": {"n_layers": 2}}}, "ddpg: Pendulum-v1: .*n_layers"),
        (["algorithms", "ddpg"], {"hyperparameters": {"env_wrapper": "gymnasium.wrappers.Nothing"}}, "Pendulum-v1: .*Nothing"),
    ],
)
def test_errors_name_the_key(tmp_path, keys, value, message):
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path, change(keys, value))


@pytest.mark.parametrize(("env_id", "module"), [("LunarLanderContinuous-v3", "box2d"), ("Hopper-v5", "mujoco")])
def test_a_missing_simulator_is_found_before_anything_is_run(tmp_path, monkeypatch, env_id, module):
    for name in list(sys.modules):
        if name.lower().startswith((module, f"gymnasium.envs.{module}")):
            monkeypatch.delitem(sys.modules, name)
    for name in (module, "Box2D"):
        monkeypatch.setitem(sys.modules, name, None)
    content = change(["environments"], {env_id: {"steps": 100}})
    with pytest.raises(ConfigurationError, match=rf'ddpg: {env_id}: .*pip install "sb3-dpg\[{module}\]"'):
        load(tmp_path, content)


def test_an_algorithm_may_have_fewer_seeds(tmp_path):
    plan = load(tmp_path, change(["algorithms", "td3"], {"seeds": [1]}))
    assert [run.configuration.algorithm for run in plan.runs if run.seed == 3] == ["ddpg"] * 2
    assert [run.configuration.algorithm for run in plan.runs if run.seed == 1] == ["ddpg"] * 2 + ["td3"] * 2
    assert load(tmp_path, change(["algorithms", "td3"], {"seeds": 1})).fewer_seeds == {"td3": (3,)}


@pytest.mark.parametrize("file", ["none", None, "mine.yml"])
def test_errors_of_hyperparameters_name_the_plan(tmp_path, file):
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({"default": {"policy": "MlpPolicy"}}))
    entry = {"hyperparameters": {"gama": 1}, **({} if file is None else {"file": file})}
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, change(["algorithms", "ddpg"], entry))
    assert str(error.value).startswith(f"{tmp_path / 'plan.yml'}: algorithms: ddpg: Pendulum-v1: unknown key 'gama'")


@pytest.mark.slow
def test_an_environment_and_an_algorithm_of_ones_own_bring_their_packages(tmp_path, monkeypatch):
    (tmp_path / "hills_of_a_test.py").write_text(
        "import gymnasium\n"
        "entry_point = 'gymnasium.envs.classic_control.pendulum:PendulumEnv'\n"
        "gymnasium.register('Hill-v0', entry_point=entry_point, max_episode_steps=5)\n"
    )
    (tmp_path / "algorithm_of_a_test.py").write_text(
        "from rl_zoo3.utils import ALGOS\nfrom stable_baselines3 import DDPG\nALGOS['mine'] = DDPG\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = change(["environments"], {"Hill-v0": {"steps": 20, "package": "hills_of_a_test"}})
    entry = {"file": "none", "hyperparameters": {"policy": "MlpPolicy"}}
    content["algorithms"] = {"mine": {**entry, "package": "algorithm_of_a_test"}}
    content["evaluation"] = {"points": 1, "episodes": 1}
    plan = load(tmp_path, content)
    folder = tmp_path / "results"
    # Workers begin without it
    del gym.registry["Hill-v0"], sys.modules["hills_of_a_test"]
    del ALGOS["mine"], sys.modules["algorithm_of_a_test"]
    summary = run_plan(plan, folder, LocalEngine(1), Console(quiet=True))
    assert (summary.completed, summary.failed) == (2, 0)
    assert read_plan(folder) == plan


def test_errors_of_files(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no plan 'tinny', .*, did you mean 'tiny'"):
        find_plan("tinny")
    (tmp_path / "plan.yml").write_text("a: [")
    with pytest.raises(ConfigurationError, match=r"plan\.yml: cannot be read"):
        load_plan(tmp_path / "plan.yml")
    (tmp_path / "plan.yml").write_text("- a")
    with pytest.raises(ConfigurationError, match=r"plan\.yml: must be a table"):
        load_plan(tmp_path / "plan.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: 2026-11-28", "name=datetime.date(2026, 11, 28) must be a text, in quotes if need be"),
        ("name: 2026-99-28", "cannot be read: month must be in 1..12"),
        ("name: " + 1000 * "[", "cannot be read: maximum recursion depth exceeded"),
    ],
    ids=["date", "no date", "deep"],
)
def test_what_yaml_reads_as_something_else_or_not_at_all(tmp_path, text, message):
    path = tmp_path / "plan.yml"
    path.write_text(f"{text}\n{yaml.safe_dump(PLAN)}")
    with pytest.raises(ConfigurationError, match=f"^{re.escape(f'{path}: {message}')}[^\n]*$"):
        load_plan(path)
    path.write_text(yaml.safe_dump(change(["algorithms", "ddpg"], {"file": "mine.yml"})))
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"^.*mine\.yml: (must hold|not valid)[^\n]*$"):
        load_plan(path)


def test_a_key_that_is_there_twice_is_an_error_one_that_replaces_a_merged_one_is_not(tmp_path):
    text = yaml.safe_dump(PLAN)
    path = tmp_path / "plan.yml"
    path.write_text(text.replace("ddpg: null", "ddpg:\n  ddpg: {hyperparameters: {gamma: 0.5}}"))
    with pytest.raises(ConfigurationError, match="the key 'ddpg' is there twice"):
        load_plan(path)
    merged = (
        "ddpg: {hyperparameters: &ours {gamma: 0.5, tau: 0.5}}\n  b: {algo: ddpg, hyperparameters: {<<: *ours, tau: 0.25}}"
    )
    path.write_text(text.replace("ddpg: null", merged))
    assert [configuration.hyperparameters["tau"] for configuration in load_plan(path).configurations] == [0.5, 0.5, 0.25, 0.25]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the C locale's encoding is the system's to say")
def test_a_plan_is_utf_8_whatever_the_users_locale(tmp_path):
    path = tmp_path / "plan.yml"
    (tmp_path / "mine.yml").write_text("# θ\ndefault: {policy: MlpPolicy}\n", encoding="utf-8")
    plan = change(["name"], "größer")
    plan["algorithms"] = {"ddpg": {"file": "mine.yml"}}
    path.write_text(yaml.safe_dump(plan, allow_unicode=True), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-c", f"import sb3_dpg.benchmark.plan as p, pathlib; p.load_plan(pathlib.Path({str(path)!r}))"],
        env={**os.environ, "PYTHONPATH": str(CLONE), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        check=True,
    )
