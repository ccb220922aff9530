"""The numbered steps of a database's schema."""

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `number` is the version that it produces."""

    number: int
    sql: str


def numbered(package: str) -> tuple[Migration, ...]:
    """Return the files in a package's folder `migrations`, in order and without gaps."""
    folder = resources.files(package) / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(Migration(int(f.name[:4]), f.read_text(encoding="utf-8")) for f in files)
