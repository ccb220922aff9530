"""The configuration file and the secret files become one Loaded, or one ConfigError that lists every problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """A configuration that can be run. `warnings` are lines for the operator; none of them stops anything."""

    settings: Settings
    secrets: Secrets
    warnings: tuple[str, ...]


def load(config_path: Path, secrets_dir: Path | None) -> Loaded:
    """Read both; without `secrets_dir` it is $CREDENTIALS_DIRECTORY, or else `secrets` beside the file.

    Raises ConfigError.
    """
    document = read_document(config_path)
    settings, problems = validate(document)
    directory = _secrets(secrets_dir, config_path.parent / "secrets")
    secrets = directory.read(_shops(settings, document))
    problems += directory.problems
    if settings and secrets:
        problems += contradictions(settings, secrets, document)
    if settings is None or secrets is None or problems:
        raise ConfigError(problems)
    return Loaded(settings, secrets, (*warnings_about(settings, secrets, document), *directory.warnings))


def _secrets(said: Path | None, beside: Path) -> SecretDirectory:
    given = credentials_directory() if said is None else None
    return SecretDirectory(given, copy_of=beside) if given else SecretDirectory(said or beside)


def validate(document: Document) -> tuple[Settings | None, list[str]]:
    """The settings or their problems; pydantic's error, which knows the values, does not leave this function."""
    problems = list(document.problems)
    if document.data is None:
        return None, problems
    try:
        return Settings.model_validate(document.data), problems
    except ValidationError as error:
        return None, problems + problems_of(error, document)


def _shops(settings: Settings | None, document: Document) -> Sequence[str]:
    """The shops' names, as far as they can be made out."""
    if settings:
        return tuple(settings.shops)
    shops = document.data.get("shops") if isinstance(document.data, Mapping) else None
    return [name for name in shops if _is_shop_name(name)] if isinstance(shops, Mapping) else ()


def _is_shop_name(name: object) -> bool:
    try:
        return isinstance(name, str) and bool(shop_name(name))
    except ValueError:
        return False
