"""Reading a table of a plan, key by key, with errors that name the file and the key."""

import math
from typing import Any

from sb3_dpg.common.errors import ConfigurationError, did_you_mean

_REQUIRED = object()


class Fields:
    """
    The keys of one table, each of which is to be taken once.

    :param content: The table, None for an empty one
    :param source: File and place in it, for messages
    :raises ConfigurationError: if it is not a table
    """

    def __init__(self, content: Any, source: str) -> None:
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise ConfigurationError(f"{source}: must be a table of keys and values, not {content!r}")
        self.source = source
        self._content = dict(content)
        self._known: list[str] = []

    def take(self, key: str, default: Any = _REQUIRED) -> Any:
        """
        :param key: Name of a key
        :param default: Its value where it is not given
        :return: Its value
        :raises ConfigurationError: if it is missing and has no default
        """
        self._known.append(key)
        value = self._content.pop(key, default)
        if value is _REQUIRED:
            raise ConfigurationError(f"{self.source}: the key {key!r} is missing")
        return value

    def _typed(self, key: str, default: Any, types: tuple[type, ...], expected: str) -> Any:
        value = self.take(key, default)
        if value is not default and type(value) not in types:
            raise ConfigurationError(f"{self.source}: {key}={value!r} must be {expected}")
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> Any:
        """
        :param key: Name of a key
        :param default: Its value where it is not given
        :return: A text
        """
        return self._typed(key, default, (str,), "a text")

    def boolean(self, key: str, default: Any = _REQUIRED) -> Any:
        """
        :param key: Name of a key
        :param default: Its value where it is not given
        :return: True or False
        """
        return self._typed(key, default, (bool,), "true or false")

    def number(self, key: str, default: Any = _REQUIRED) -> Any:
        """
        :param key: Name of a key
        :param default: Its value where it is not given
        :return: A number, finite
        """
        value = self._typed(key, default, (int, float), "a number")
        if value is not default and not math.isfinite(value):
            raise ConfigurationError(f"{self.source}: {key}={value} must be finite")
        return value

    def integer(self, key: str, minimum: int) -> int:
        """
        :param key: Name of a key
        :param minimum: The smallest value allowed
        :return: An integer
        """
        value = self._typed(key, _REQUIRED, (int,), f"an integer of at least {minimum}")
        if value < minimum:
            raise ConfigurationError(f"{self.source}: {key}={value} must be at least {minimum}")
        return int(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """
        :param key: Name of a key
        :return: A table as it is, empty where it is not given
        """
        return dict(self._typed(key, None, (dict,), "a table of keys and values") or {})

    def section(self, key: str) -> "Fields":
        """
        :param key: Name of a key that holds a table
        :return: That table, to be read in turn
        """
        return Fields(self.take(key), f"{self.source}: {key}")

    def sections(self, key: str) -> list[tuple[str, "Fields"]]:
        """
        :param key: Name of a key that holds a table of tables
        :return: Their names, and the tables to be read in turn
        """
        tables = self._typed(key, _REQUIRED, (dict,), "a table with an entry for each name")
        if not tables:
            raise ConfigurationError(f"{self.source}: {key} has no entry")
        return [(str(name), Fields(entry, f"{self.source}: {key}: {name}")) for name, entry in tables.items()]

    def finish(self) -> None:
        """
        :raises ConfigurationError: if there are keys that nobody asked for
        """
        for key in self._content:
            hint = did_you_mean(str(key), self._known)
            raise ConfigurationError(f"{self.source}: unknown key {key!r}{hint or '.'} Known: {', '.join(self._known)}")
