"""Values on the command line, as rl-zoo3 reads them: ``key:value``, the value an expression of Python."""

import argparse
from collections.abc import Sequence
from typing import Any

from rl_zoo3.utils import StoreDict as ZooStoreDict

from sb3_dpg.common.errors import ConfigurationError


class StoreDict(ZooStoreDict):
    """rl-zoo3's action, which says which value cannot be read."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Sequence[str], option_string: Any = None
    ) -> None:
        """
        :param parser: The parser
        :param namespace: Where the values go, as a dictionary
        :param values: The items, ``key:value``
        :param option_string: The option as it was written
        :raises ConfigurationError: naming the item that cannot be read
        """
        merged: dict[str, Any] = {}
        for item in values:
            key, colon, value = item.partition(":")
            try:
                super().__call__(parser, namespace, [item], option_string)
            except Exception as error:  # whatever the expression raises
                hint = f"\"{key}:'{value.strip()}'\": text needs quotes of its own" if colon else item.replace("=", ":", 1)
                raise ConfigurationError(
                    f"{option_string} {item}: not of the form KEY:VALUE with an expression of Python as the value ({error}). "
                    f"Perhaps {hint}"
                ) from error
            merged |= getattr(namespace, self.dest)
        setattr(namespace, self.dest, merged)
