"""Files: a save replaces the previous file whole or not at all; what is damaged is refused; weights come without pickles."""

import errno
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_dpg.benchmark.results import Results
from sb3_dpg.cli import main
from sb3_dpg.common.save_util import write_atomically
from sb3_dpg.export import export_policy
from sb3_dpg.zoo.callbacks import ResumableCheckpointCallback
from sb3_dpg.zoo.checkpoints import checkpoints, saved_timesteps
from tests.algorithms import CLASSES, make, same, weights
from tests.benchmark.samples import make_plan, make_records, write_results
from tests.zoo.entries import tiny_entry

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize("name", ["bnddpg", "copdacq"])


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """No file can grow beyond ``n_bytes``, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_synchronised(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that a virtual machine shares; but a disk that fails is told."""
    fsync = os.fsync

    def of_files_only(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(file)

    monkeypatch.setattr(os, "fsync", of_files_only)
    with pytest.raises(OSError, match="error") if number == errno.EIO else nullcontext():
        make("bnddpg").save(tmp_path / "model")
    assert (tmp_path / "model.zip").is_file()


@pytest.mark.parametrize("method", ["save", "save_weights", "save_replay_buffer"])
@BOTH
def test_full_disk(name: str, method: str, tmp_path: Path) -> None:
    """The previous file survives, and nothing else is left lying about."""
    model = make(name)
    path = tmp_path / "file.bin"
    getattr(model, method)(path)
    content = path.read_bytes()
    with full_disk(len(content) // 2), pytest.raises(OSError, match="File too large"):
        getattr(model, method)(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
    getattr(model, method)(path)


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("mode", [0o600, 0o664])
@pytest.mark.parametrize("method", ["save", "save_weights", "save_replay_buffer"])
def test_a_file_keeps_its_mode(method: str, mode: int, tmp_path: Path) -> None:
    model = make("bnddpg")
    path = tmp_path / "file.bin"
    getattr(model, method)(path)
    path.chmod(mode)
    getattr(model, method)(path)
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_exports_and_results_keep_their_mode_too(tmp_path: Path) -> None:
    writers = {
        tmp_path / "policy.pt": lambda path: export_policy(make("bnddpg"), path, "torchscript"),
        tmp_path / "text": lambda path: write_atomically(path, "text"),
    }
    for path, write in writers.items():
        write(path)
        path.chmod(0o600)
        write(path)
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("method", ["save", "save_weights", "save_replay_buffer"])
def test_a_file_that_is_read_only_is_not_replaced(method: str, tmp_path: Path) -> None:
    """Root may write to it: the mode says that it is not to be."""
    model = make("bnddpg")
    path = tmp_path / "file.bin"
    getattr(model, method)(path)
    content = path.read_bytes()
    path.chmod(0o444)
    model.learn(30)
    with pytest.raises(PermissionError, match=r"mode is 444.*file\.bin"):
        getattr(model, method)(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [245, 255])
def test_names_may_be_as_long_as_the_file_system_lets_them(length: int, tmp_path: Path) -> None:
    path = tmp_path / ("m" * (length - 4) + ".zip")
    make("bnddpg").save(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("method", ["save", "save_weights", "save_replay_buffer"])
def test_unwritable_folder(method: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        getattr(make("bnddpg"), method)(tmp_path / "file" / "model.zip")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("method", ["save", "save_weights", "save_replay_buffer"])
def test_folder_without_permission(method: str) -> None:
    """The previous file survives a save by a user who may not write into its folder."""
    model = make("bnddpg")
    # Not pytest's: the parents of that are closed to other users
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file.bin"
        getattr(model, method)(path)
        content = path.read_bytes()
        os.chmod(name, 0o555)
        child = os.fork()
        if child == 0:
            with_what = 2
            try:
                if os.getuid() == 0:
                    os.setuid(65534)  # root may write everywhere
                getattr(model, method)(path)
                with_what = 1
            except PermissionError:
                with_what = 0
            finally:
                os._exit(with_what)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "1: it was saved, 2: another error"
        assert path.read_bytes() == content
        assert os.listdir(name) == ["file.bin"]
        os.chmod(name, 0o755)


def test_full_disk_at_a_checkpoint(tmp_path: Path) -> None:
    """Training stops, the previous checkpoint is whole."""
    model = make("bnddpg")
    callback = ResumableCheckpointCallback(10, str(tmp_path), "Pendulum-v1")
    callback.init_callback(model)
    model.learn(20, callback)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint_20_steps"]
    with full_disk(5000), pytest.raises(OSError, match="File too large"):
        model.learn(20, callback, reset_num_timesteps=False)
    (checkpoint,) = checkpoints(tmp_path)
    assert checkpoint.name == "checkpoint_20_steps"
    assert saved_timesteps(checkpoint / "Pendulum-v1.zip") == 20
    CLASSES["bnddpg"].load(checkpoint / "Pendulum-v1.zip").load_replay_buffer(checkpoint / "replay_buffer.pkl")


def test_full_disk_while_results_are_written(tmp_path: Path) -> None:
    plan = make_plan()
    results = write_results(tmp_path, plan, leave_out=lambda run: run.seed > 0)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run = results.missing(plan)[0]
    with full_disk(len(files["evaluations.csv"])), pytest.raises(OSError, match="File too large"):
        results.add(run, make_records(run))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    again = Results(tmp_path)
    assert run in again.missing(plan)
    again.add(run, make_records(run))
    assert run not in Results(tmp_path).missing(plan)


def test_names_are_completed_as_in_sb3(tmp_path: Path) -> None:
    model = make("copdacq")
    model.save(tmp_path / "new" / "folder" / "model")
    assert (tmp_path / "new/folder/model.zip").is_file()
    (tmp_path / "model.zip").mkdir()
    with pytest.warns(UserWarning, match="is a folder"):
        model.save(tmp_path / "model.zip")
    assert zipfile.is_zipfile(tmp_path / "model.zip_2")
    stream = io.BytesIO()
    model.save(stream)
    stream.seek(0)
    assert same(weights(type(model).load(stream)), weights(model))


def test_a_link_keeps_its_target(tmp_path: Path) -> None:
    model = make("copdacq")
    model.save(tmp_path / "model.zip")
    (tmp_path / "latest.zip").symlink_to("model.zip")
    model.save(tmp_path / "latest.zip")
    assert (tmp_path / "latest.zip").is_symlink()


def save_forever(model: BaseAlgorithm, path: Path, saved: Connection) -> None:
    while True:
        model.save(path)
        saved.send(None)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@BOTH
def test_killed_while_saving(name: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    model = make(name, policy_kwargs=dict(net_arch=[256, 256]) if name == "bnddpg" else {})
    # Forked: nothing is imported anew
    context = multiprocessing.get_context("fork")
    for wait in (0.0, 0.003, 0.01, 0.02, 0.04):
        saved, sender = context.Pipe(duplex=False)
        process = context.Process(target=save_forever, args=(model, path, sender), daemon=True)
        process.start()
        saved.recv()
        time.sleep(wait)  # not a limit: it only varies where in the save it is hit
        assert process.pid is not None
        os.kill(process.pid, number)
        process.join()
        assert process.exitcode == -number
        loaded = CLASSES[name].load(path)
        assert loaded.num_timesteps == 0


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
        return
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("policy.pth" if kind == "weights" else "data")
    content[member.header_offset + member.file_size // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "weights", "data"])
@BOTH
def test_damaged_zip_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    make(name).save(path)
    damage(path, kind)
    with pytest.raises(ValueError, match=r"model\.zip is (damaged|no whole zip file).*load another checkpoint"):
        CLASSES[name].load(tmp_path / "model")


@BOTH
def test_damage_anywhere_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    """Some bytes of a zip file mean nothing, such as the time of day: then what is loaded is what was saved."""
    model = make(name)
    model.save(tmp_path / "whole.zip")
    content = (tmp_path / "whole.zip").read_bytes()
    path = tmp_path / "damaged.zip"
    moments = random.Random(0)
    refused = 0
    for trial in range(30):
        damaged = bytearray(content)
        position = moments.randrange(len(content))
        if trial % 3 == 0:
            damaged = damaged[:position]
        else:
            damaged[position] ^= 1 << moments.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = CLASSES[name].load(path)
        except ValueError as error:
            told = str(error)
        else:
            assert same(weights(loaded), weights(model)), f"byte {position}"
            continue
        assert "load another checkpoint" in told, f"byte {position}"
        refused += 1
    assert refused > 20


AGENT = ("--algo", "bnddpg", "--env", "Pendulum-v1")
RUN = "logs/bnddpg/Pendulum-v1_1"
RESUME = ("train", *AGENT, "--resume", "-n", "220")
ENJOY = ("enjoy", *AGENT, "--no-render", "-n", "5")
PLOT = ("-a", "bnddpg", "-e", "Pendulum", "-f", "logs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a training leaves, and what all-plots makes of it."""
    folder = tmp_path_factory.mktemp("trained")
    entry = tiny_entry("bnddpg", n_timesteps=200, normalize=True)
    (folder / "config.yml").write_text(yaml.safe_dump({"Pendulum-v1": entry}))
    options = ("-conf", "config.yml", "--eval-freq", "100", "--eval-episodes", "2", "--save-freq", "100", "--seed", "1")
    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        context.setattr("sys.argv", ["sb3-dpg"])
        assert main(["train", *AGENT, "--verbose", "0", *options]) == 0
        assert main(["all-plots", *PLOT, "--no-display", "-o", "all"]) == 0
    return folder


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize(
    ("command", "file"),
    [
        (RESUME, f"{RUN}/checkpoint_200_steps/replay_buffer.pkl"),
        (RESUME, f"{RUN}/checkpoint_200_steps/evaluations.npz"),
        (RESUME, f"{RUN}/checkpoint_200_steps/hyperparams.yml"),
        (RESUME, f"{RUN}/checkpoint_200_steps/Pendulum-v1/vecnormalize.pkl"),
        ((*ENJOY, "--load-last-checkpoint"), f"{RUN}/checkpoint_200_steps/Pendulum-v1/vecnormalize.pkl"),
        (ENJOY, f"{RUN}/Pendulum-v1/vecnormalize.pkl"),
        (ENJOY, f"{RUN}/Pendulum-v1/config.yml"),
        (ENJOY, f"{RUN}/Pendulum-v1.zip"),
        (("all-plots", *PLOT), f"{RUN}/evaluations.npz"),
        (("plot-train", *PLOT), f"{RUN}/0.monitor.csv"),
        (("plot-from-file", "-i", "all.pkl"), "all.pkl"),
        (("plot-policy", f"{RUN}/Pendulum-v1.zip", "--algo", "bnddpg"), f"{RUN}/Pendulum-v1.zip"),
    ],
)
def test_a_file_of_a_run_that_is_not_whole_is_named(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    file: str,
    share: float,
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: int(share * len(content))])
    assert main(command) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert file in line


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.zip"):
        CLASSES["bnddpg"].load(tmp_path / "nothing")


@pytest.mark.parametrize("share", [False, True])
def test_weights_round_trip(share: bool, tmp_path: Path) -> None:
    kwargs: dict[str, Any] = dict(policy_kwargs=dict(net_arch=[8], share_features_extractor=share))
    model, other = make("bnddpg", **kwargs), make("bnddpg", **kwargs | dict(seed=1))
    model.learn(40)
    model.save_weights(tmp_path / "weights")
    assert not same(weights(other), weights(model))
    other.load_weights(tmp_path / "weights")
    assert (tmp_path / "weights.safetensors").is_file()
    assert same(weights(other), weights(model))


def test_weights_beside_a_folder_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    model, other = make("bnddpg"), make("bnddpg", seed=1)
    model.save_weights(tmp_path / "run")
    other.load_weights(tmp_path / "run")
    assert same(weights(other), weights(model))


def test_weights_of_array_policies_act_after_loading() -> None:
    """The NumPy view of COPDACQ's weights must follow."""
    model, other = make("copdacq"), make("copdacq")
    model.learn(100)
    stream = io.BytesIO()
    model.save_weights(stream)
    stream.seek(0)
    other.load_weights(stream)
    observation = model.replay_buffer.observations[0]
    assert (other.predict(observation)[0] == model.predict(observation)[0]).all()
    assert same(weights(other.learn(20)), weights(other)), "the arrays are the parameters"


def test_weights_of_another_architecture_change_nothing(tmp_path: Path) -> None:
    model = make("bnddpg")
    before = weights(model)
    for kwargs, message in (
        (dict(policy_kwargs=dict(net_arch=[9])), r"the shape of .* is \(9.*there and \(8.*here"),
        (dict(policy_kwargs=dict(net_arch=[8, 8])), "lacks .* and has .* that this policy has not"),
    ):
        make("bnddpg", **kwargs).save_weights(tmp_path / "w.safetensors")
        with pytest.raises(ValueError, match=message):
            model.load_weights(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match=r"w\.safetensors is no whole safetensors file"):
        model.load_weights(tmp_path / "w.safetensors")
    assert same(weights(model), before)
