"""Rules that a machine can check: which file may import which, and how large the package may be."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "sb3_dpg"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
TREES = {module: ast.parse(path.read_text()) for module, path in FILES.items()}
# Each floor may import from those before it, and its parts from each other
FLOORS = ("common", "bnddpg copdacq envs export diagnostics", "", "zoo", "benchmark", "cli", "__main__")


def floor(module: str) -> int:
    part = module.partition(".")[2].partition(".")[0]
    return next(index for index, parts in enumerate(FLOORS) if part in (parts.split() or [""]))


def imported(tree: ast.AST, strings: bool = True) -> set[str]:
    """The files of ours that a syntax tree names: in imports, and in strings from which they could be imported."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # from package import module, or from module import name
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full & FILES.keys() or {str(node.module)}
        elif strings and isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value.partition(":")[0])
    return names & FILES.keys()


ARROWS = {(module, other) for module, tree in TREES.items() for other in imported(tree) if other != module}


def test_no_circle_of_imports() -> None:
    graph: dict[str, set[str]] = {}
    for module, other in ARROWS:
        graph.setdefault(module, set()).add(other)
    # Raises a CycleError that names the circle
    assert set(TopologicalSorter(graph).static_order()) <= FILES.keys()


def test_imports_point_down() -> None:
    upwards = sorted((module, other) for module, other in ARROWS if floor(module) < floor(other))
    assert not upwards, upwards


def test_imports_stand_at_the_top() -> None:
    """But the commands': what a subcommand needs is imported when it is called."""
    hidden = [
        (module, function.name, names)
        for module, tree in TREES.items()
        if not module.endswith(".cli")
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and (names := imported(function, strings=False))
    ]
    assert not hidden, hidden


def test_size() -> None:
    assert len(FILES) <= 100
    assert sum(len(path.read_text().splitlines()) for path in FILES.values()) <= 12_300
