"""Code blocks of the pages run, their links lead somewhere, and they become a site without a warning."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import matplotlib
import pytest
import yaml
from rl_zoo3.utils import ALGOS, get_callback_list
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

import sb3_dpg
from sb3_dpg import BNDDPG
from sb3_dpg.benchmark.plan import load_plan
from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.zoo.action_noise import check_noise_keys
from sb3_dpg.zoo.hyperparameters import check_hyperparameters, read_entry
from tests.pages import CLONE, DOCS, FENCE, PAGES, SPAN, anchors, blocks, prose

# Of the extra "docs", which is not installed everywhere
latex2mathml = pytest.importorskip("docutils.utils.math.latex2mathml")

# Those in braces are directives of the site; bash: see test_docs_commands.py
LANGUAGES = {"python", "bash", "yaml", "text", "bibtex", "{toctree}", "{eval-rst}", "{include}"}
BAR = re.compile(r"(?<!\\)\|")
LINK = re.compile(r"\]\(([^)\s]+)\)")
# More steps than any documented learning_starts, so that updates happen
BUDGET = 200


def identify(page: Path) -> str:
    return str(page.relative_to(CLONE).with_suffix(""))


each_page = pytest.mark.parametrize("page", PAGES, ids=identify)


@pytest.mark.slow
# Trainings are cut short
@pytest.mark.filterwarnings("ignore:.*will not learn")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=identify)
def test_code_blocks(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    learn = OffPolicyAlgorithm.learn
    learned: list[int] = []

    def learn_a_little(self: OffPolicyAlgorithm, total_timesteps: int, *args: Any, **kwargs: Any) -> OffPolicyAlgorithm:
        learned.append(total_timesteps)
        return learn(self, min(total_timesteps, BUDGET), *args, **kwargs)

    monkeypatch.setattr(OffPolicyAlgorithm, "learn", learn_a_little)
    monkeypatch.chdir(tmp_path)
    # For the blocks that call rl-zoo3's own functions
    monkeypatch.setattr("sys.argv", ["train", "--algo", "bnddpg", "--env", "Pendulum-v1", "-n", "200", "--eval-freq", "-1"])
    matplotlib.use("Agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    # A page may register an algorithm of its own
    with patch.dict(ALGOS):
        for block in blocks(page, "python"):
            exec(compile(block, str(page), "exec"), namespace)
    assert len(learned) >= "".join(blocks(page, "python")).count(".learn(")


@each_page
def test_yaml_blocks(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        content = yaml.safe_load(block)
        file = tmp_path / "block.yml"
        file.write_text(block)
        if "algorithms" in content:
            assert load_plan(file).runs
        elif "MyTask-v0" in content:
            entry = read_entry(str(file), "MyTask-v0", False, yaml.SafeLoader)
            check_hyperparameters(entry, BNDDPG)
            check_noise_keys(entry)
        else:
            assert set(content) == {"callback"}, "a kind of YAML that this test does not know"
            assert all(isinstance(callback, BaseCallback) for callback in get_callback_list(content))


@each_page
def test_pages_are_short(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert len(lines) <= 150
    if page.name == "README.md":
        assert max(map(len, lines)) <= 120


@each_page
def test_every_block_has_a_language(page: Path) -> None:
    """Otherwise it would be tested by nobody."""
    assert {language.partition(" ")[0] for language, _ in FENCE.findall(page.read_text())} <= LANGUAGES


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        url = urlsplit(link)
        if url.scheme:
            exists = url.scheme == "https" and "." in url.netloc
        else:
            target = (page.parent / url.path) if url.path else page
            # A name of the API is the site's business
            heading = url.fragment and not url.fragment.startswith("sb3_dpg.") and target.suffix == ".md"
            exists = target.exists() and not (heading and url.fragment not in anchors(target))
        if not exists:
            broken.append(link)
    assert not broken


@each_page
def test_rows_of_tables_have_as_many_cells(page: Path) -> None:
    """Where the line below the header has another number of cells, there is no table but lines with bars."""
    for line, following in pairwise(prose(page).splitlines()):
        if line.startswith("|") and following.startswith("|"):
            assert len(BAR.findall(line)) == len(BAR.findall(following)), following


@each_page
def test_maths_is_latex(page: Path) -> None:
    """Formulas would be rendered in the reader's browser, where no test sees them fail."""
    text = re.sub(SPAN, "", prose(page))
    for formula in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL) + re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", text):
        assert latex2mathml.tex2mathml(formula.strip())


def public(name: str) -> set[str]:
    """
    :param name: Name of a module of ours
    :return: Where the reference should have the classes and functions that it defines: in its package, if that exports them
    """
    module, package = importlib.import_module(name), name.rpartition(".")[0]
    exported = getattr(importlib.import_module(package), "__all__", [])
    if name.rpartition(".")[2] in exported:
        # Hidden by what the package exports under the same name
        return set()
    defined = {
        key
        for key, value in vars(module).items()
        if key[0] != "_" and isinstance(value, type | FunctionType) and (value.__module__, value.__name__) == (name, key)
    }
    return {f"{package if key in exported else name}.{key}" for key in defined if inspect.getdoc(getattr(module, key))}


def test_the_page_for_users_of_td3_has_the_defaults() -> None:
    page = DOCS / "from_td3.md"
    defaults = {algorithm: inspect.signature(algorithm).parameters for algorithm in (TD3, BNDDPG)}
    rows = [[cell.strip(" `") for cell in BAR.split(line)[1:4]] for line in page.read_text().splitlines() if line[:3] == "| `"]
    assert rows
    for name, *values in rows:
        for value, parameters in zip(values, defaults.values(), strict=True):
            if re.fullmatch(r"[\d.e-]+|True|False", value):
                assert parameters[name].default == ast.literal_eval(value), name
            elif not value:
                assert name not in parameters
    assert f"`net_arch` is {BNDDPG('MlpPolicy', 'Pendulum-v1', buffer_size=1).policy.net_arch}" in page.read_text()


def test_the_page_of_noise_begins_with_the_default() -> None:
    first, *_ = blocks(DOCS / "noise.md", "python")
    namespace: dict[str, Any] = {}
    exec(first.split("\n\n")[1].split("# The same")[0], namespace)
    assert namespace["noise"] == dict(DEFAULT_ACTION_NOISE)


@pytest.mark.slow
def test_site_has_every_module_and_loads_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run([*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [
        page
        for page in (tmp_path / "site").rglob("*.html")
        if re.search(r'<(script|link) [^>]*"(https?:)?//', page.read_text())
    ]
    lines = zlib.decompress((tmp_path / "site" / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    described = {line.split()[0] for line in lines}
    names = [info.name for info in pkgutil.walk_packages(sb3_dpg.__path__, "sb3_dpg.") if not info.name.endswith("__main__")]
    missing = set().union(*map(public, names)) - described
    assert not missing
