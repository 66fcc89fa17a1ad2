"""Something else in the place of a name, for a while: how rl-zoo3's scripts are changed without copying them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """
    :param owner: A module or class
    :param name: Name of one of its attributes
    :param value: What it is to be inside the context
    """
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
