"""The pages that people read: README and docs, by their parts."""

import re
from pathlib import Path

CLONE = Path(__file__).parents[1]
DOCS = CLONE / "docs"
FOLDERS = (DOCS, DOCS / "studies", DOCS / "api")
PAGES = [CLONE / "README.md", CLONE / "CONTRIBUTING.md", *(page for folder in FOLDERS for page in sorted(folder.glob("*.md")))]

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")


def blocks(page: Path, language: str) -> list[str]:
    """
    :param page: A page
    :param language: Of the blocks, what stands behind their opening fence
    :return: The text of each such block
    """
    return [text for name, text in FENCE.findall(page.read_text()) if name == language]


def prose(page: Path) -> str:
    """
    :param page: A page
    :return: Its text without the fenced blocks
    """
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """
    :param page: A page
    :return: What a link can have behind its # on GitHub, one for each heading
    """
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
