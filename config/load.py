"""Turns the configuration file and the secret files into one Loaded, or one ConfigError with every problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from config.checks import contradictions, warnings_about
from config.environment import credentials_directory
from config.model import Settings, shop_name
from config.plain_words import problems_of
from config.secret_files import SecretDirectory, Secrets
from config.yaml_file import Document, read_document
from daemon.domain.returns import MAIN_ACCOUNT
from daemon.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration. `warnings` are lines for the operator and stop nothing."""

    settings: Settings
    secrets: Secrets
    warnings: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Missing secret files, with what to do; only in an `unfinished` configuration."""


def load(config_path: Path, secrets_dir: Path | None, *, unfinished: bool = False) -> Loaded:
    """Read both. `secrets_dir` defaults to $CREDENTIALS_DIRECTORY, or else to `secrets` beside the file.

    `unfinished` accepts a configuration without all of the vendors' secrets. Raises ConfigError.
    """
    document = read_document(config_path)
    settings, problems = validate(document)
    directory = _secrets(secrets_dir, config_path.parent / "secrets", unfinished=unfinished)
    secrets = directory.read(_shops(settings, document))
    problems += directory.problems
    if settings and secrets:
        problems += contradictions(settings, secrets, document)
    if settings is None or secrets is None or problems:
        raise ConfigError(problems)
    return Loaded(
        settings, secrets, (*warnings_about(settings, secrets, document), *directory.warnings), directory.absent
    )


def settings_of(config_path: Path) -> Settings:
    """Read the configuration file alone, for commands that need no secret. Raises ConfigError."""
    settings, problems = validate(read_document(config_path))
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _secrets(said: Path | None, beside: Path, *, unfinished: bool) -> SecretDirectory:
    given = credentials_directory() if said is None else None
    if given:
        return SecretDirectory(given, copy_of=beside, unfinished=unfinished)
    return SecretDirectory(said or beside, unfinished=unfinished)


def validate(document: Document) -> tuple[Settings | None, list[str]]:
    """Return the settings or their problems. pydantic's error, which holds the values, stays in this function."""
    problems = list(document.problems)
    if not isinstance(document.data, Mapping):
        return None, problems
    if "accounts" not in document.data:
        document.unwritten = ("accounts", MAIN_ACCOUNT)
    try:
        return Settings.model_validate(document.data), problems
    except ValidationError as error:
        return None, problems + problems_of(error, document)


def _shops(settings: Settings | None, document: Document) -> Mapping[str, Sequence[str]]:
    """Return the names of accounts and of their shops, as far as they are readable."""
    if settings:
        return {name: tuple(account.shops) for name, account in settings.accounts.items()}
    data = document.data if isinstance(document.data, Mapping) else {}
    if "accounts" not in data:
        return {MAIN_ACCOUNT: _names(data, "shops")}
    return {name: _names(data["accounts"][name], "shops") for name in _names(data, "accounts")}


def _names(data: object, key: str) -> list[str]:
    below = data.get(key) if isinstance(data, Mapping) else None
    return [name for name in below if _is_name(name)] if isinstance(below, Mapping) else []


def _is_name(name: object) -> bool:
    try:
        return isinstance(name, str) and bool(shop_name(name))
    except ValueError:
        return False
