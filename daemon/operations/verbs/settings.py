"""The verbs about settings that the store keeps."""

from typing import Any, Literal

from pydantic import Field

from daemon.operations.verb import VENDORS, Answer, Facts, Signed, Table, Text, Typed, Verb
from daemon.operations.verbs.returns import Nothing


class SetOne(Typed):
    """A setting, and its value."""

    name: Text = Field(description="As the secret file is named, for example loop_api_key.acme.")


class UnsetOne(Signed):
    """A setting."""

    name: Text = Field(description="As the secret file is named.")


class MapReason(Signed):
    """What a shopper states, and Amazon's code for it."""

    shop: Text = Field(description="Its name in the configuration.")
    code: Text = Field(description="Amazon's code; `mcfd reasons --sku SKU` shows which are allowed.")
    parent: str = Field(default="", description="Loop's parent reason; without it any.")
    reason: str = Field(default="", description="Loop's reason; without it any.")


class UnmapReason(Signed):
    """What a shopper states."""

    shop: Text = Field(description="Its name in the configuration.")
    parent: str = Field(default="", description="Loop's parent reason.")
    reason: str = Field(default="", description="Loop's reason.")


class SettingRow(Answer):
    """A credential, and where it is; never its value."""

    name: str
    where: Literal["file", "store", "missing"]
    note: str


class ReasonKept(Answer):
    """A mapping that the store keeps."""

    shop: str
    parent: str
    reason: str
    code: str


class SettingsShown(Answer):
    """Every credential that the store may keep, and every kept mapping."""

    settings: list[SettingRow]
    reasons: list[ReasonKept]


class KeptSetting(Answer):
    """A setting that was changed."""

    name: str
    note: str


class Mapped(Answer):
    """A mapping that was kept, or forgotten if it has no code."""

    shop: str
    parent: str
    reason: str
    code: str | None


LIST = Verb(
    name="settings list",
    help="Show which credentials are given, by file or in the store, and which mappings of reasons the store keeps.",
    examples=("mcfd settings list",),
    need=VENDORS,
    arguments=Nothing,
    answer=SettingsShown,
    run=lambda at, _: at.settings.listing(),
    shown=(
        Table("Credentials", "settings", ("name", "where", "note")),
        Table("Reasons kept in the store", "reasons", ("shop", "parent", "reason", "code")),
    ),
)

SET = Verb(
    name="settings set",
    help="Keep a credential sealed in the store. Its value is read from standard input; a secret file goes before it.",
    examples=("mcfd settings set loop_api_key.acme", "mcfd settings set easypost_api_key < key"),
    need=VENDORS,
    arguments=SetOne,
    answer=KeptSetting,
    run=lambda at, given: at.settings.put(given.name, given.value.get_secret_value(), given.by),
    shown=(Facts(),),
)

UNSET = Verb(
    name="settings unset",
    help="Forget a credential that the store keeps.",
    examples=("mcfd settings unset loop_api_key.acme",),
    need=VENDORS,
    arguments=UnsetOne,
    answer=KeptSetting,
    run=lambda at, given: at.settings.drop(given.name, given.by),
    shown=(Facts(),),
)

MAP = Verb(
    name="settings map-reason",
    help="Map what shoppers state to a code of Amazon's, at once. The configuration file goes before it.",
    examples=('mcfd settings map-reason acme CR-DEFECTIVE --reason "Seam came apart"',),
    need=VENDORS,
    arguments=MapReason,
    answer=Mapped,
    run=lambda at, given: at.settings.map_reason(given.shop, given.parent, given.reason, given.code, given.by),
    shown=(Facts(),),
)

UNMAP = Verb(
    name="settings unmap-reason",
    help="Forget a mapping of a reason that the store keeps.",
    examples=('mcfd settings unmap-reason acme --reason "Seam came apart"',),
    need=VENDORS,
    arguments=UnmapReason,
    answer=Mapped,
    run=lambda at, given: at.settings.map_reason(given.shop, given.parent, given.reason, None, given.by),
    shown=(Facts(),),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (LIST, SET, UNSET, MAP, UNMAP)
