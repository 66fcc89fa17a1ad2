"""Replaying agents: what train accepts, the scripts on trained agents understand."""

import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium as gym
import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from stable_baselines3.common.vec_env import VecNormalize

from sb3_dpg.cli import main
from sb3_dpg.zoo.callbacks import ResumableCheckpointCallback
from sb3_dpg.zoo.checkpoints import checkpoints, saved_timesteps
from sb3_dpg.zoo.patches import LocalFirstApi
from sb3_dpg.zoo.playback import offscreen_rendering
from tests.zoo.entries import tiny_entry

Capture = pytest.CaptureFixture[str]
WriteConfig = Callable[..., Path]
AGENT = ("--algo", "bnddpg", "--env", "Pendulum-v1")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])


def train(config: Path, *options: str) -> None:
    assert main(["train", *AGENT, "-conf", str(config), "--verbose", "0", "--eval-freq", "-1", *options]) == 0


def test_empty_keys_are_no_keys(write_config: WriteConfig) -> None:
    empty = dict.fromkeys(("frame_stack", "vec_env_wrapper", "env_wrapper", "callback", "replay_buffer_class"))
    train(write_config(tiny_entry("bnddpg", n_timesteps=40, **empty)))
    assert main(["enjoy", *AGENT, "--no-render", "-n", "5"]) == 0


def test_an_option_that_cannot_be_read_gets_one_line(write_config: WriteConfig, capsys: Capture) -> None:
    train(write_config(tiny_entry("bnddpg", n_timesteps=40)))
    capsys.readouterr()
    for command in (["enjoy", "--no-render"], ["record-video"], ["push-to-hub", "-orga", "x", "--no-upload"]):
        assert main([*command, *AGENT, "--env-kwargs", "g=5"]) == 1
        assert "--env-kwargs g=5: not of the form KEY:VALUE" in capsys.readouterr().err
        assert main([*command, *AGENT, "--env-kwargs", "foo:5"]) == 1
        assert "unexpected keyword argument 'foo'" in capsys.readouterr().err


class Stop(Exception):
    """Stands for SIGKILL."""


def test_an_agent_of_a_checkpoint_is_normalised_as_it_learned(
    write_config: WriteConfig, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: ResumableCheckpointCallback) -> None:
        if self.num_timesteps == 130:
            raise Stop

    config = write_config(tiny_entry("bnddpg", n_timesteps=200, normalize=True))
    with monkeypatch.context() as context:
        context.setattr(ResumableCheckpointCallback, "_on_rollout_end", die)
        with pytest.raises(Stop):
            train(config, "--save-freq", "60")
    loaded: list[str] = []
    load = VecNormalize.load
    monkeypatch.setattr(VecNormalize, "load", staticmethod(lambda path, env: loaded.append(path) or load(path, env)))
    # The killed run has no statistics but those of its checkpoint
    for command in (["enjoy", "--no-render"], ["record-video"]):
        assert main([*command, *AGENT, "-n", "5", "--load-last-checkpoint"]) == 0
    assert loaded == ["logs/bnddpg/Pendulum-v1_1/checkpoint_120_steps/Pendulum-v1/vecnormalize.pkl"] * 2
    capsys.readouterr()
    for options, expected in (
        ([], "a training that was killed has checkpoints: --load-last-checkpoint"),
        (["--load-checkpoint", "60"], "VecNormalize stats logs/bnddpg/Pendulum-v1_1/Pendulum-v1/vecnormalize.pkl not found"),
    ):
        assert main(["enjoy", *AGENT, "--no-render", *options]) == 1
        assert expected in capsys.readouterr().err
    train(config, "--save-freq", "120")
    assert main(["enjoy", *AGENT, "-n", "5", "--no-render"]) == 0
    assert loaded[-1] == "logs/bnddpg/Pendulum-v1_2/Pendulum-v1/vecnormalize.pkl"


def test_an_agent_saved_within_a_rollout_is_normalised_by_the_checkpoint(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On-policy algorithms: the agent of step 120 beside the checkpoint of step 100."""

    def die(self: ResumableCheckpointCallback) -> None:
        if self.num_timesteps == 150:
            raise Stop

    config = write_config(dict(n_timesteps=200, policy="MlpPolicy", n_steps=50, batch_size=50, n_epochs=1, normalize=True))
    command = ("--algo", "ppo", "--env", "Pendulum-v1", "-f", "logs")
    with monkeypatch.context() as context:
        context.setattr(ResumableCheckpointCallback, "_on_rollout_end", die)
        # An evaluation writes statistics, too, those of the best agent
        options = ("--verbose", "0", "--eval-freq", "50", "--eval-episodes", "1", "--save-freq", "60")
        with pytest.raises(Stop):
            main(["train", *command, "-conf", str(config), *options])
    run = Path("logs/ppo/Pendulum-v1_1")
    assert (run / "rl_model_120_steps.zip").is_file()
    assert [path.name for path in checkpoints(run)] == ["checkpoint_100_steps"]
    assert (run / "Pendulum-v1/vecnormalize.pkl").is_file()
    loaded: list[str] = []
    load = VecNormalize.load
    monkeypatch.setattr(VecNormalize, "load", staticmethod(lambda path, env: loaded.append(path) or load(path, env)))
    assert main(["enjoy", *command, "--no-render", "-n", "5", "--load-last-checkpoint"]) == 0
    assert loaded == ["logs/ppo/Pendulum-v1_1/checkpoint_100_steps/Pendulum-v1/vecnormalize.pkl"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the current directory that registers an environment, as the process finds it that begins there."""
    name, env_id = "pendulums_of_a_test", "pendulums/Short-v0"
    entry_point = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
    (tmp_path / f"{name}.py").write_text(
        f"import gymnasium\ngymnasium.register({env_id!r}, entry_point={entry_point!r}, max_episode_steps=20)\n"
    )
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    yield name
    sys.modules.pop(name, None)
    gym.registry.pop(env_id, None)


def test_every_command_knows_the_environments_of_a_package(
    package: str, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ("--algo", "bnddpg", "--env", "pendulums/Short-v0")

    def run(command: str, *options: str) -> None:
        # Each in a process of its own
        sys.modules.pop(package, None)
        gym.registry.pop("pendulums/Short-v0", None)
        assert main([command, *names, *options]) == 0

    with_package = ("--gym-packages", package)
    config = write_config(tiny_entry("bnddpg", n_timesteps=40), env_id="pendulums/Short-v0")
    run("train", *with_package, "-conf", str(config), "--verbose", "0", "--eval-freq", "20", "--eval-episodes", "2")
    run("enjoy", *with_package, "--no-render", "-n", "5")
    run("record-video", *with_package, "-n", "5")
    run("push-to-hub", *with_package, "-orga", "x", "--no-upload", "--no-render")
    # Nothing is made of it, the environment need not be there
    run("load-from-hub", "-f", "copies", "--repository", "hub/bnddpg-pendulums-Short-v0")
    assert saved_timesteps(tmp_path / "copies/bnddpg/pendulums-Short-v0_1/pendulums-Short-v0.zip") == 40


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "egl"), ({"DISPLAY": ":0"}, None), ({"WAYLAND_DISPLAY": "w"}, None), ({"MUJOCO_GL": "osmesa"}, "osmesa")],
)
@pytest.mark.skipif(sys.platform != "linux", reason="Linux only has such libraries")
def test_mujoco_draws_without_a_display(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str | None) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with offscreen_rendering():
        assert os.environ.get("MUJOCO_GL") == expected
    assert os.environ.get("MUJOCO_GL") == given.get("MUJOCO_GL")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("loaded using pickle"), "ValueError: loaded using pickle"),
        (OSError("no network"), "sb3/td3-Pendulum-v1: cannot get td3-Pendulum-v1.zip (no network)"),
    ],
)
def test_an_agent_that_is_nowhere_is_looked_for_on_the_hub(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception, expected: str
) -> None:
    def download(*args: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_sb3.load_from_hub", download)
    monkeypatch.delitem(sys.modules, "rl_zoo3.load_from_hub", raising=False)
    assert main(["enjoy", "--algo", "td3", "--env", "Pendulum-v1", "--no-render"]) == 1
    assert f"enjoy: error: {expected}" in capsys.readouterr().err


def test_an_agent_of_the_hub_without_normalisation(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    names = ("--algo", "td3", "--env", "Pendulum-v1")
    assert main(["train", *names, "-conf", str(write_config(tiny_entry("td3", n_timesteps=40))), "-f", "elsewhere"]) == 0
    run = Path("elsewhere/td3/Pendulum-v1_1")
    files = {"td3-Pendulum-v1.zip": run / "Pendulum-v1.zip"}
    files |= {name: run / "Pendulum-v1" / name for name in ("args.yml", "config.yml")}
    with zipfile.ZipFile("metrics.zip", "w") as archive:
        archive.write(run / "0.monitor.csv", "0.monitor.csv")

    def download(repo_id: str, filename: str) -> str:
        if filename == "vec_normalize.pkl":
            raise EntryNotFoundError(f"no {filename}")
        return str(files.get(filename, "metrics.zip"))

    monkeypatch.setattr("huggingface_sb3.load_from_hub", download)
    monkeypatch.delitem(sys.modules, "rl_zoo3.load_from_hub", raising=False)
    assert main(["enjoy", *names, "--no-render", "-n", "5"]) == 0, capsys.readouterr().err


def test_an_agent_of_a_builtin_algorithm_is_found_where_train_put_it(write_config: WriteConfig) -> None:
    config = write_config(tiny_entry("td3", n_timesteps=40))
    names = ("--algo", "td3", "--env", "Pendulum-v1")
    assert main(["train", *names, "-conf", str(config), "--verbose", "0", "--eval-freq", "-1"]) == 0
    assert main(["enjoy", *names, "--no-render", "-n", "5"]) == 0


def test_a_run_without_the_agent_is_passed_over(write_config: WriteConfig, capsys: Capture) -> None:
    train(write_config(tiny_entry("bnddpg", n_timesteps=40)))
    Path("logs/bnddpg/Pendulum-v1_2/Pendulum-v1").mkdir(parents=True)
    assert main(["enjoy", *AGENT, "--no-render", "-n", "5"]) == 0
    output = capsys.readouterr().out
    assert "1 later run(s) in logs/bnddpg" in output
    assert "Loading logs/bnddpg/Pendulum-v1_1/Pendulum-v1.zip" in output


def test_enjoy_without_a_display_names_what_does_without(
    write_config: WriteConfig, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(write_config(tiny_entry("bnddpg", n_timesteps=40)))
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert main(["enjoy", *AGENT]) == 1
    error = capsys.readouterr().err
    assert "there is no display" in error
    assert "--no-render" in error
    assert "sb3-dpg record-video" in error


def test_hyperparameters_of_an_agent_that_cannot_be_read(write_config: WriteConfig, capsys: Capture) -> None:
    train(write_config(tiny_entry("bnddpg")))
    Path("logs/bnddpg/Pendulum-v1_1/Pendulum-v1/config.yml").write_text("!!python/name:builtins.Wrapper ''")
    assert main(["enjoy", *AGENT, "--no-render"]) == 1
    assert "enjoy: error: ConstructorError: while constructing a Python object" in capsys.readouterr().err


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("no network"), OSError("no such repository")])
def test_what_the_hub_does_not_give_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception) -> None:
    """Not found for want of a network is not "no normalisation", either."""

    def download(repo_id: str, filename: str) -> str:
        if filename == "vec_normalize.pkl":
            raise error
        return filename

    monkeypatch.setattr("huggingface_sb3.load_from_hub", download)
    assert main(["load-from-hub", *AGENT, "-orga", "x"]) == 1
    expected = f"sb3-dpg load-from-hub: error: x/bnddpg-Pendulum-v1: cannot get vec_normalize.pkl ({error})"
    assert capsys.readouterr().err.strip() == expected


def test_what_an_earlier_agent_left_in_the_repository_does_not_stay(tmp_path: Path) -> None:
    for name in ("vec_normalize.pkl", "replay.mp4", "README.md"):
        (tmp_path / name).write_text("an earlier agent's")
    LocalFirstApi(True, {}).snapshot_download("x/y", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_the_hubs_own_attributes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rl-zoo3 adds a line to what it has downloaded; here nothing is downloaded before the repository is complete."""
    line = "*.mp4 filter=lfs diff=lfs merge=lfs -text\n"
    (tmp_path / "README.md").write_text("")
    for own in ("*.zip filter=lfs\n", f"*.zip filter=lfs\n{line}"):
        (tmp_path / "hub").write_text(own)
        (tmp_path / ".gitattributes").write_text(line)
        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda *args, **kwargs: None)
        monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", lambda *args: str(tmp_path / "hub"))
        monkeypatch.setattr(
            huggingface_hub.HfApi,
            "upload_folder",
            lambda self, folder_path, **kwargs: (folder_path / ".gitattributes").read_text(),
        )
        uploaded = LocalFirstApi(upload=True, card_commands={}).upload_folder(repo_id="a/b", folder_path=tmp_path)
        assert uploaded == "*.zip filter=lfs\n" + line
