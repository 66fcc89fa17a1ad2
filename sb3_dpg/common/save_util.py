"""Files that are whole or not there: writing that replaces, reading that verifies; weights that cannot run code."""

import errno
import io
import os
import stat
import uuid
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch as th
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@contextmanager
def replacing(path: str | Path | io.BufferedIOBase, suffix: str) -> Iterator[io.BufferedIOBase]:
    """
    Write a file so that whatever happens to process, disk or machine, the new one or the previous one is there, whole.

    Names are completed as in SB3: a suffix where there is none, missing folders made, ``_2`` where a folder has the name.

    :param path: Where to write; an open file is written to as it is
    :param suffix: The suffix of a name that has none, without the dot
    :return: A context manager that gives the file to write to; an exception inside leaves the previous file
    :raises OSError: if the file cannot be written
    """
    if isinstance(path, io.BufferedIOBase):
        yield path
        return
    with durable_replacement(completed(Path(path), suffix)) as file:
        yield file


def completed(path: Path, suffix: str) -> Path:
    """
    :param path: As given by the user
    :param suffix: As in :func:`replacing`
    :return: The file to write, in a folder that exists, links followed
    """
    if path.suffix == "":
        path = Path(f"{path}.{suffix}")
    if path.is_dir():
        warnings.warn(f"Path '{path}' is a folder. Will save instead to {path}_2", stacklevel=2)
        path = Path(f"{path}_2")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A link keeps pointing to the file that is replaced
    return path.resolve()


@contextmanager
def durable_replacement(path: Path) -> Iterator[io.BufferedWriter]:
    """
    :param path: The file to replace, in a folder that exists
    :return: A context manager that gives a temporary file beside it, which takes its name, and its mode, at the end
    :raises PermissionError: if there is a file that is not to be written to
    """
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    # By its mode too: root may write to any file
    if mode is not None and not (mode & 0o222 and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, f"{os.strerror(errno.EACCES)} (the file's mode is {mode:o})", str(path))
    # A name of its own: that of the file may be as long as names can be
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The new name is in the directory's data
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        except OSError as error:
            # Shared folders of virtual machines and of Samba cannot do that to a directory
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(directory)


def write_atomically(path: Path, text: str) -> None:
    """
    Replace a file by a new one, durably: whatever happens to process or machine, one of the two is there, whole.

    :param path: Where to write
    :param text: The new content
    """
    with durable_replacement(path) as file:
        file.write(text.encode())


def remove_leftovers(folder: Path) -> None:
    """
    Remove what processes that were killed in :func:`durable_replacement` left half written.

    :param folder: A folder that no other process writes to
    """
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()


def check_archive(path: str | Path | io.BufferedIOBase) -> None:
    """
    Compare a zip file with its checksums, which SB3 and PyTorch do not do for weights.

    :param path: The file as given to SB3's ``load``, its suffix left out or not; nothing is checked if it is not there
    :raises ValueError: if the file is damaged
    """
    if isinstance(path, str | Path):
        path = next((p for p in (Path(path), Path(f"{path}.zip")) if p.is_file()), "")
        if path == "":
            return  # SB3's error names the file
    try:
        with zipfile.ZipFile(path) as archive:
            # In a file that is cut off the last whole archive may be one inside: PyTorch's weights are zip files too
            if "data" not in archive.namelist():
                raise zipfile.BadZipFile("it holds no model")
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is no whole zip file ({error}): it was cut off or damaged, load another checkpoint"
        ) from error
    if damaged is not None:
        raise ValueError(f"{path} is damaged: the checksum of {damaged!r} in it is wrong, load another checkpoint")


def save_weights(module: nn.Module, path: str | Path | io.BufferedIOBase) -> None:
    """
    Save parameters and buffers in the safetensors format; the previous file is replaced at once or not at all.

    :param module: Whose weights to save
    :param path: Where to, ``.safetensors`` is added to a name without suffix
    """
    module = uncompiled(module)
    # Clones: networks may share a features extractor, and the format has no shared memory
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    with replacing(path, "safetensors") as file:
        file.write(save(tensors))


def load_weights(module: nn.Module, path: str | Path | io.BufferedIOBase) -> None:
    """
    Load what :func:`save_weights` saved into a module of the same architecture, which changes all or nothing.

    :param module: Whose weights to replace
    :param path: The file, ``.safetensors`` may be left out
    :raises ValueError: if the file is no safetensors file, or of another architecture
    """
    if isinstance(path, str | Path):
        path = Path(path)
        if not path.is_file() and path.suffix == "":
            path = Path(f"{path}.safetensors")
        content = path.read_bytes()
    else:
        content = path.read()
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    module = uncompiled(module)
    _check_architecture(module.state_dict(), tensors, path)
    module.load_state_dict(tensors)


def uncompiled(module: ModuleT) -> ModuleT:
    """
    :param module: A module, of ``torch.compile`` or not
    :return: The module that was compiled, whose weights have names without a prefix
    """
    return getattr(module, "_orig_mod", module)


def _check_architecture(expected: dict[str, th.Tensor], found: dict[str, th.Tensor], path: object) -> None:
    """Compare the names and shapes of the module's tensors with the file's."""
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"{path} is of another architecture: it lacks {', '.join(missing[:3]) or 'nothing'} ({len(missing)} in all) and "
            f"has {', '.join(unknown[:3]) or 'nothing'} ({len(unknown)} in all) that this policy has not"
        )
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise ValueError(
                f"{path} is of another architecture: the shape of {name} is {tuple(found[name].shape)} there and "
                f"{tuple(tensor.shape)} here"
            )
