"""Writing files so that whoever reads them, after whatever happened, finds a whole one."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """
    Replace a file by a new one, durably: whatever happens to process or machine, one of the two is there, whole.

    :param path: Where to write
    :param text: The new content
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":
        # The new name is in the directory's data
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
