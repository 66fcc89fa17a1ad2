"""Markdown, and numbers as text."""

from collections.abc import Sequence

import numpy as np


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    :param header: Names of the columns
    :param rows: Their content; the first column is text, the others are numbers
    :return: A table
    """
    alignment = [":--", *["--:"] * (len(header) - 1)]
    lines = [[cell.replace("|", "\\|") for cell in cells] for cells in [header, alignment, *rows]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def number(value: float, digits: int = 0) -> str:
    """
    :param value: A number
    :param digits: Digits behind the point
    :return: Its text, "-" if it is not finite
    """
    if not np.isfinite(value):
        return "-"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def with_interval(value: float, interval: np.ndarray, digits: int = 0) -> str:
    """
    :param value: An estimate
    :param interval: Its interval, (2,)
    :param digits: Digits behind the point
    :return: Both
    """
    return f"{number(value, digits)} [{number(interval[0], digits)}, {number(interval[1], digits)}]"


def return_digits(values: np.ndarray) -> int:
    """
    :param values: Returns of one environment
    :return: How many digits behind the point they are worth
    """
    largest = float(np.abs(values).max())
    return 0 if largest >= 1000 else 1 if largest >= 10 else 3


def items(lines: Sequence[str]) -> str:
    """
    :param lines: Sentences
    :return: A list
    """
    return "".join(f"- {line}\n" for line in lines)
