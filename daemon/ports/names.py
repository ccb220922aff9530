"""The names of documents and marks in the store, each defined once."""

import hashlib
import re

from daemon.domain.returns import MAIN_ACCOUNT, Postage, Return

BOUGHT_LABELS = "label/"
"""The prefix of bought labels' names; other documents are pages that shoppers fetch."""

LABEL_PROOFS = "label-proof/"


def at_account(name: str, account: str) -> str:
    """The name of something that each account has one of: as it is for the main account, else `name@account`."""
    return name if account == MAIN_ACCOUNT else f"{name}@{account}"


RENAMED_MARK = "renamed"
"""The mark for the former names of shops and accounts: {"shop": {FORMER: NAME}, "account": {FORMER: NAME}}."""

_OF_SHOPS = frozenset(
    {"link", "label-proof", "transit-quiet", "paused", "verified", "returns-poll", "proof", "strangers"}
)
"""What the names of marks begin with that go on with a shop."""

_OF_ACCOUNTS = frozenset({"order-index", "notifications", "notified"})
"""The same with an account; other marks of an account are named by `at_account`."""

_BY_ACCOUNT = re.compile(r"amazon/[a-z-]+|first-seen/[a-z_]+|findings-announced|refused")


_SETTING_OF_SHOP = re.compile(r"(?P<kind>settings/(?:reasons/|secret/loop_[a-z_]+\.))(?P<shop>[^/]+)")
_SETTING_OF_ACCOUNT = re.compile(r"(?P<kind>settings/secret/(?!loop_)[a-z_]+)(?:\.(?P<account>[^/]+))?")


def kept_secret_mark(name: str) -> str:
    """The mark for a credential that is kept under the name of its file."""
    return f"settings/secret/{name}"


def kept_reasons_mark(shop: str) -> str:
    """The mark for the mappings of reasons that are kept for a shop."""
    return f"settings/reasons/{shop}"


def _setting_of_renamed(mark: str, kind: str, name: str, new: str) -> str:
    found = (_SETTING_OF_SHOP if kind == "shop" else _SETTING_OF_ACCOUNT).fullmatch(mark)
    if found is None or (found[kind] or MAIN_ACCOUNT) != name:
        return mark
    if kind == "shop":
        return f"{found['kind']}{new}"
    return found["kind"] if new == MAIN_ACCOUNT else f"{found['kind']}.{new}"


def mark_of_renamed(mark: str, kind: str, name: str, new: str) -> str:
    """The name of a mark once a shop or an account has another name; the same name if it is none of theirs."""
    first, _, rest = mark.partition("/")
    if first == "settings":
        return _setting_of_renamed(mark, kind, name, new)
    owner, slash, end = rest.partition("/")
    if kind == "shop":
        return f"{first}/{new}{slash}{end}" if first in _OF_SHOPS and owner == name else mark
    if first in _OF_ACCOUNTS:
        return f"{first}/{new}" if rest == name else mark
    bare, _, account = mark.partition("@")
    ours = _BY_ACCOUNT.fullmatch(bare) is not None and (account or MAIN_ACCOUNT) == name
    return at_account(bare, new) if ours else mark


def bought_labels(shop: str, return_id: str) -> str:
    """The prefix of the names of all labels bought for a return."""
    return f"{BOUGHT_LABELS}{shop}/{return_id}/"


def bought_label(ret: Return, postage: Postage) -> str:
    """The name of one purchase's document."""
    return f"{bought_labels(ret.shop, ret.return_id)}{postage.authorization_id}/{postage.number}"


def hosted_label(token: str) -> str:
    """The name of a hosted label: the hash of its token, so that the database does not reveal its link."""
    return "hosted/" + hashlib.sha256(token.encode()).hexdigest()


def link_mark(shop: str, return_id: str) -> str:
    """The mark for an operator's link of a return to fulfillment orders."""
    return f"link/{shop}/{return_id}"


def proof_mark(shop: str, return_id: str) -> str:
    """The mark for the link to a label that an operator has to check."""
    return f"{LABEL_PROOFS}{shop}/{return_id}"


def tombstone(shop: str, return_id: str, request_id: str = "") -> str:
    """The hash that is left of a forgotten return, or of one of its label requests."""
    return hashlib.sha256("\n".join((shop, return_id, request_id)).encode()).hexdigest()


def lane_mark(service: str) -> str:
    """The mark that labels of a carrier account and service lead to the fulfillment center."""
    return f"label-lane/{service}"


def quiet_mark(shop: str) -> str:
    """The mark that a shop's portal pays before the inspection, so that no transit is reported to it."""
    return f"transit-quiet/{shop}"


KEPT_IN_MEMORY = ("amazon/", "paused/", "settings/")
"""What the names of marks begin with whose values every node keeps in memory."""

GENERATION = "generation"
"""The mark for the store's name, which the file beside it has, too."""


SERVER = "server"
"""The mark for the server that the database was last seen on."""


def proof_of(shop: str) -> str:
    """The mark for how far the shop's part of the store can be trusted."""
    return f"proof/{shop}"


def strangers_mark(shop: str) -> str:
    """The mark for the ids of returns that bear traces of mcfd in the portal and are unknown here."""
    return f"strangers/{shop}"


def paused_mark(shop: str) -> str:
    """The mark for when an operator paused the shop; empty once it was resumed."""
    return f"paused/{shop}"


def verified_mark(shop: str) -> str:
    """The mark for the time of the shop's last verified delivery."""
    return f"verified/{shop}"
