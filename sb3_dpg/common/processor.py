"""What the system says of its processor."""

import functools
import platform
from pathlib import Path


def processor_description() -> str:
    """
    :return: On Linux all that the kernel tells, in lines ``name : value``, elsewhere what Python knows
    """
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()


@functools.cache
def processor_is_intels() -> bool:
    """
    :return: Whether Intel made the processor
    """
    return "GenuineIntel" in processor_description()
