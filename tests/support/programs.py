"""Programs that tests need beside Python, which `.ci/packages` installs."""

import os
import shutil
from typing import NoReturn

import pytest


def program(*names: str) -> str:
    """The path of the first of these programs that is here."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    return found if found is not None else lacking(f"{names[0]} is not installed; .ci/packages installs it")


def lacking(reason: str) -> NoReturn:
    """Skip the test; but fail it on the machine that says what is good enough to land."""
    if os.environ.get("CI") == "true":  # noqa: TID251 - it is the test that asks, not mcfd
        pytest.fail(reason)
    pytest.skip(reason)
