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
    if document.data is None:
        return None, problems
    try:
        return Settings.model_validate(document.data), problems
    except ValidationError as error:
        return None, problems + problems_of(error, document)


def _shops(settings: Settings | None, document: Document) -> Sequence[str]:
    """Return the shops' names as far as they are readable."""
    if settings:
        return tuple(settings.shops)
    shops = document.data.get("shops") if isinstance(document.data, Mapping) else None
    return [name for name in shops if _is_shop_name(name)] if isinstance(shops, Mapping) else ()


def _is_shop_name(name: object) -> bool:
    try:
        return isinstance(name, str) and bool(shop_name(name))
    except ValueError:
        return False
