"""Other libraries' names that are replaced: they are still there, and come back."""

import argparse

import optuna
import pytest

from sb3_dpg.zoo.patches import PATCHES, owners_of, patched


@pytest.mark.parametrize("name", sorted(set(PATCHES) - {"generate_metadata"}))
def test_every_name_is_there(name: str) -> None:
    assert all(hasattr(owner, name) for owner in owners_of(name))


def test_replacements_end_with_their_context() -> None:
    create_study, error = optuna.create_study, argparse.ArgumentParser.error
    with patched(create_study=len, error=len):
        assert optuna.create_study is len
        assert argparse.ArgumentParser.error is len
    assert optuna.create_study is create_study
    assert argparse.ArgumentParser.error is error
