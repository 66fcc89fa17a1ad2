"""The command line: names, helps and errors of one line."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import rl_zoo3.utils
import yaml
from rl_zoo3.utils import StoreDict

import sb3_dpg
from sb3_dpg.cli import COMMANDS, main
from sb3_dpg.common.errors import DEBUG_VARIABLE, ConfigurationError, missing_extra
from sb3_dpg.zoo.checkpoints import saved_timesteps
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.patches import readable_errors
from tests.zoo.entries import tiny_entry

Capture = pytest.CaptureFixture[str]
# After an error rl-zoo3 leaves its environments open: the process ends
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])


def error_line(capsys: Capture, *arguments: str) -> str:
    """Run a command that must fail with one line, return it."""
    assert main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"sb3-dpg {sb3_dpg.__version__}\n"


def test_help_names_every_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    assert all(name in output for name in COMMANDS)


def test_unknown_command_gets_the_nearest(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["trian"])
    assert exit_info.value.code == 2
    assert "error: 'trian' is unknown, did you mean 'train'? Known: train, enjoy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "--algo", "bndpg", "--env", "Pendulum-v1"), "--algo 'bndpg' is unknown, did you mean 'bnddpg'?"),
        (("train", "--algo", "td3", "--env", "Pendulm-v1"), "'Pendulm-v1' is not registered, did you mean 'Pendulum-v1'"),
        (("enjoy", "--algo", "bnddpg", "--env", "Pendulum-v1"), "The logs/bnddpg folder was not found"),
        (("enjoy", "--algo", "coptacq", "--env", "Pendulum-v1"), "did you mean 'copdacq'?"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "-i", "no.zip"), "-i no.zip: there is no such saved agent"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--resume"), "--resume: no checkpoint of td3 on Pendulum-v1"),
        (("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--heartbeat", "0"), "--heartbeat 0"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--seed", "4294967296"), "--seed 4294967296: must be below"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--log-interval", "0"), "--log-interval 0: must be at least 1"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--eval-episodes", "0"), "--eval-episodes 0: must be at least 1"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--n-eval-envs", "0"), "--n-eval-envs 0: must be at least 1"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--n-jobs", "0"), "--n-jobs 0: must be at least 1, or -1"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--n-startup-trials", "-1"), "--n-startup-trials -1: must be at"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "-n", "0"), "-n/--n-timesteps 0: must be at least 1, or -1"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--n-timesteps", "-2"), "-n/--n-timesteps -2: must be at least 1"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--max-total-trials", "0"), "--max-total-trials 0: must be at"),
        (("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--env-kwargs", "foo:1"), "error: --env-kwargs: "),
        (("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--eval-env-kwargs", "foo:1"), "error: --eval-env-kwargs: "),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "-conf", "no.yml"), "no.yml: cannot be read"),
        (("train", "--algo", "td3", "-params", "gamma=0.9"), "-params gamma=0.9: not of the form KEY:VALUE"),
        (("train", "--algo", "td3", "-params", "gamma:0.9", "tau:lin_1"), "Perhaps \"tau:'lin_1'\""),
        (("all-plots", "-a", "td3", "ddpg", "-e", "Hopper", "-f", "no"), "of td3 on Hopper in no, ddpg on Hopper in no"),
        (("all-plots", "-a", "td3", "bndpg", "-e", "x", "-f", "no"), "-a 'bndpg' is unknown, did you mean 'bnddpg'?"),
        (("plot-train", "-a", "bndpg", "-e", "x", "-f", "no"), "-a 'bndpg' is unknown, did you mean 'bnddpg'?"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--trial-id", "0"), "--trial-id 0: needs the study that it is of"),
        (("plot-from-file", "-i", "no.pkl"), "no.pkl"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--restart"), "--restart: it begins anew with the weights of an"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "-conf", "no.py"), "no.py: cannot be read"),
        (("train", "--algo", "td3", "--env", "Pendulum-v1", "--device", "cpuu"), "--device cpuu: Expected one of cpu"),
        (("train", "--env", "my.envs:Mine-v0"), "is not registered: give --gym-packages my.envs --env Mine-v0"),
        (("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--optimize", "--n-evaluations", "0"), "must be at"),
        (("load-from-hub", "--algo", "td3", "--env", "Pendulum-v1", "-f", "x", "--repository", "no"), "no td3-Pend"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(capsys: Capture, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in error_line(capsys, *arguments)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"batchsize": 8}, "unknown key 'batchsize' for BNDDPG, did you mean 'batch_size'?"),
        ({"noise_type": "ornstein-uhlenbek"}, "noise_type 'ornstein-uhlenbek' is unknown, did you mean 'ornstein-uhlenbeck'?"),
        ({"noise_std": "lin_a_b"}, "lin_a_b"),
        ({"noise_std": None}, "needs the key 'noise_std'"),
        ({"noise_std": -0.1}, "-0.1"),
        ({"noise_std": [0.1, 0.2]}, "noise"),
        ({"policy": "MlpPolcy"}, "policy 'MlpPolcy' is unknown, did you mean 'MlpPolicy'? Known: MlpPolicy,"),
        ({"learning_rate": "lin_x_0.1"}, "learning_rate"),
        ({"tau": 2.0}, "tau"),
        ({"batch_norm": "both"}, "batch_norm must be bool, not 'both'"),
        ({"policy_kwargs": {"net_arhc": [8]}}, "net_arhc"),
        ({"policy_kwargs": "dict(net_arch=[8]"}, "policy_kwargs='dict(net_arch=[8]' cannot be evaluated"),
        ({"replay_buffer_class": "HerReplayBufer"}, "replay_buffer_class='HerReplayBufer' cannot be evaluated"),
        ({"monitor_kwargs": "1"}, "monitor_kwargs=1 is no table"),
        ({"normalize": "1"}, "normalize=1 is no table"),
        ({"policy_kwargs": {"net_arch": 8}}, "net_arch=8 must be a list"),
        ({"policy": "no.such.module.Policy"}, "policy='no.such.module.Policy' names no class"),
        ({"env_wrapper": "no.Wrapper"}, "env_wrapper='no.Wrapper' names no class"),
        ({"callback": [{"no.Callback": {"verbose": 1}}]}, "callback='no.Callback' names no class"),
        ({"policy_kwargs": {"activation_fn": "no.Module"}}, "policy_kwargs: activation_fn='no.Module' names no class"),
        ({"noise_std": []}, "the noise keys (noise_type, noise_std) cannot be used"),
        ({"policy_kwargs": {"optimizer_kwargs": {"betas": None}}}, "optimizer_kwargs={"),
        ({"policy_kwargs": {"optimizer_kwargs": {"betas": []}}}, "optimizer_kwargs={"),
        ({"noise_type": None, "action_noise": {"type": []}}, "type=[] in the noise specification"),
        ({"noise_type": None, "action_noise": {"type": "autoregressive", "lambda": [], "std": 1}}, "lambda=[] has the wrong"),
        ({"noise_type": None, "action_noise": {"type": "normal", "sigma": [None, []]}}, "sigma=[None, []] has the wrong"),
        ({"n_envs": None}, "n_envs must be int, not None"),
        ({"n_timesteps": 0}, "n_timesteps must be at least 1"),
        ({"seed": 1}, "'seed' is no hyperparameter: give the option --seed"),
        ({"normalize": [1]}, "normalize must be bool or dict or str, not [1]"),
    ],
)  # fmt: skip
def test_a_bad_file_gets_one_line_with_file_and_key(
    capsys: Capture, write_config: Callable[..., Path], change: dict[str, Any], expected: str
) -> None:
    config = write_config(tiny_entry("bnddpg", **change))
    line = error_line(capsys, "train", "--algo", "bnddpg", "--env", "Pendulum-v1", "-conf", str(config))
    assert line.startswith(f"sb3-dpg train: error: {config}: Pendulum-v1: ")
    assert expected in line


@pytest.mark.parametrize(
    ("command", "option", "expected"),
    [
        ("train", "--resumee", "did you mean '--resume'?"),
        ("train", "--log-foldr", "did you mean '--log-folder'?"),
        ("train", "--log-fold", "did you mean '--log-folder'?"),
        ("enjoy", "--exp", "did you mean '--exp-id'?"),
        ("enjoy", "--no-rendering", "did you mean '--no-render'?"),
        ("record-video", "--gym-pakages", "did you mean '--gym-packages'?"),
        ("push-to-hub", "--no-uplod", "did you mean '--no-upload'?"),
        ("load-from-hub", "--repositry", "did you mean '--repository'?"),
        ("plot-from-file", "--figure", "did you mean '--figures'?"),
        ("plot-policy", "--quantities", "did you mean '--quantity'?"),
    ],
)
def test_an_unknown_option_gets_one_line_and_the_nearest(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str, option: str, expected: str
) -> None:
    monkeypatch.setattr("sb3_dpg.zoo.playback.find_agent", lambda arguments: (arguments, None))
    monkeypatch.setattr("sb3_dpg.zoo.playback.has_display", lambda: True)
    agent = ["--algo", "bnddpg", "--env", "Pendulum-v1"]
    required = {
        "plot-from-file": ["-i", "x"],
        "plot-policy": ["model.zip", "--algo", "bnddpg"],
        "push-to-hub": [*agent, "-orga", "x", "-f", "x"],
    }
    with pytest.raises(SystemExit) as exit_info:
        main([command, *required.get(command, agent), option])
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == f"sb3-dpg {command}: error: {option} is unknown, {expected} (see sb3-dpg {command} --help)"


@pytest.mark.parametrize(
    "arguments", [("train", "--algo", "bndpg"), ("train", "--algo", "bnddpg", "-params", "noise_type:'norml'", "noise_std:1")]
)
def test_a_question_ends_with_its_mark(capsys: Capture, arguments: tuple[str, ...]) -> None:
    line = error_line(capsys, *arguments, *(() if "bndpg" in arguments else ("--env", "Pendulum-v1")))
    assert "'? Known: " in line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("tau:2.0",), "-params: tau=2.0"),
        (("batchsize:8",), "-params: unknown key 'batchsize' for BNDDPG, did you mean 'batch_size'?"),
        (("policy_kwargs:dict(net_arhc=[8])",), "-params: "),
        (("noise_type:'norml'", "noise_std:1"), "-params: noise_type 'norml' is unknown"),
        (("n_envs:0",), "-params: n_envs must be at least 1"),
        (("gamma:0.9",), "config.yml: Pendulum-v1: batch_size="),
    ],
)
def test_an_error_of_the_command_line_does_not_blame_the_file(
    capsys: Capture, write_config: Callable[..., Path], given: tuple[str, ...], expected: str
) -> None:
    wrong = {"batch_size": -1} if given == ("gamma:0.9",) else {}
    config = write_config(tiny_entry("bnddpg", **wrong))
    command = ("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "-conf", str(config))
    assert expected in error_line(capsys, *command, "-params", *given)


def without_its_library() -> None:
    raise gym.error.DependencyNotInstalled(
        'Box2D is not installed, you can install it by run `pip install "gymnasium[box2d]"`'
    )


@pytest.mark.parametrize(
    ("env_id", "options", "expected"),
    [
        ("Pendulum-v1", ("-params", "tau:2.0"), "tau=2.0"),
        ("WithoutBox2D-v0", (), 'pip install "sb3-dpg[box2d]"'),
        ("Pendulum-v1", ("--tensorboard-log", "tb"), 'pip install "sb3-dpg[tensorboard]"'),
        ("CartPole-v1", (), "Discrete(2)"),
    ],
)
def test_a_start_that_fails_leaves_no_run(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, env_id: str, options: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(
        gym.registry, "WithoutBox2D-v0", gym.envs.registration.EnvSpec("WithoutBox2D-v0", entry_point=without_its_library)
    )
    for _ in range(2):
        assert main(["train", "--algo", "bnddpg", "--env", env_id, "--seed", "1", *options]) == 1
        output = capsys.readouterr()
        assert expected in output.err
        assert len(output.err.splitlines()) == 1
    assert not list(Path("logs").glob("*/*"))


@pytest.mark.parametrize(("given", "numbers"), [({}, {1, 2}), ({"tau": 2.0}, {1})])
def test_of_two_trainings_started_at_the_same_moment_each_has_its_folder(
    write_config: Callable[..., Path],
    make_manager: Callable[..., ExperimentManager],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    numbers: set[int],
) -> None:
    config = write_config(tiny_entry("bnddpg"))
    first, second = make_manager("bnddpg", config), make_manager("bnddpg", config, hyperparams=given)
    read = second.read_hyperparameters
    monkeypatch.setattr(second, "read_hyperparameters", lambda: [first.setup_experiment(), read()][1])
    with contextlib.suppress(ConfigurationError):
        second.setup_experiment()
    runs = {Path(first.log_path, f"Pendulum-v1_{number}") for number in numbers}
    assert set(Path(first.log_path).iterdir()) == runs
    assert all((run / "Pendulum-v1/config.yml").is_file() for run in runs)


def test_missing_keys_and_entries(capsys: Capture, write_config: Callable[..., Path]) -> None:
    train = ("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "-conf")
    config = write_config({"policy": "MlpPolicy"})
    assert "Pendulum-v1: the key 'n_timesteps' is missing" in error_line(capsys, *train, str(config))
    config = write_config(tiny_entry("bnddpg"), env_id="Walker2d-v5")
    assert f"{config}: no entry for Pendulum-v1 and no 'default'" in error_line(capsys, *train, str(config))
    config.write_text("Pendulum-v1: [unclosed")
    assert f"{config}: not valid YAML" in error_line(capsys, *train, str(config))
    config.write_text(yaml.safe_dump(["a list"]))
    assert f"{config}: must hold a table" in error_line(capsys, *train, str(config))


def test_a_file_of_python(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    command = ("train", "--algo", "bnddpg", "--env", "Pendulum-v1", "--eval-freq", "-1", "-conf", str(path))
    path.write_text("entries = {}")
    assert f"{path}: it has no 'hyperparams'" in error_line(capsys, *command)
    # rl-zoo3 takes classes and callbacks where a YAML file has their names
    path.write_text(
        "from gymnasium.wrappers import TimeAwareObservation\n"
        "from stable_baselines3.common.callbacks import StopTrainingOnMaxEpisodes\n"
        f"hyperparams = {{'Pendulum-v1': dict({tiny_entry('bnddpg')}, env_wrapper=TimeAwareObservation, "
        "callback=StopTrainingOnMaxEpisodes(1))}"
    )
    assert main(command) == 0
    assert saved_timesteps(tmp_path / "logs/bnddpg/Pendulum-v1_1/Pendulum-v1.zip") == 200


def test_values_are_evaluated_once() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--values", nargs="+", action=StoreDict)
    calls: list[int] = []
    with pytest.MonkeyPatch.context() as patch, readable_errors():
        patch.setattr(rl_zoo3.utils, "calls", calls, raising=False)
        options = parser.parse_args(["--values", "a:calls.append(1)", "b:[2, 3]"])
    assert options.values == {"a": None, "b": [2, 3]}
    assert calls == [1]


def test_a_file_that_cannot_be_written_gets_one_line(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = error_line(capsys, "train", "--algo", "bnddpg", "--env", "Pendulum-v1", "-f", "file", "-n", "10")
    assert line.startswith("sb3-dpg train: error: file/")
    assert line.endswith(": Not a directory")


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(ValueError, match="bndpg"):
        main(["train", "--algo", "bndpg"])


def test_ctrl_c_before_training_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sb3_dpg.zoo.training.check_names", interrupt)
    assert main(["train", "--algo", "bnddpg", "--env", "Pendulum-v1"]) == 130


def test_a_missing_module_names_the_extra() -> None:
    assert 'pip install "sb3-dpg[plots]"' in str(
        missing_extra(ModuleNotFoundError("No module named 'seaborn'", name="seaborn"))
    )
    assert "[mujoco]" in str(missing_extra(ImportError("MuJoCo is not installed, run `pip install gymnasium[mujoco]`")))
    assert "pip install optunahub" in str(missing_extra(ModuleNotFoundError("No module named 'optunahub'", name="optunahub")))
    assert missing_extra(ModuleNotFoundError("No module named 'foo'", name="foo")) is None
