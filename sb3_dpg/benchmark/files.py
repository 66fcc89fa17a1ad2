"""Writing text so that whoever reads it, after whatever happened, finds a whole file."""

from pathlib import Path

from sb3_dpg.common.files import durable_replacement


def write_atomically(path: Path, text: str) -> None:
    """
    Replace a file by a new one, durably: whatever happens to process or machine, one of the two is there, whole.

    :param path: Where to write
    :param text: The new content
    """
    with durable_replacement(path) as file:
        file.write(text.encode())
