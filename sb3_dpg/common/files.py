"""Files that are whole or not there: writing that replaces, reading that verifies."""

import io
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    :return: A context manager that gives a temporary file beside it, which takes its name at the end
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
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
        finally:
            os.close(directory)


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
