"""What documents and marks are called in the store, each name in one place."""

import hashlib

from daemon.domain.returns import Postage, Return

BOUGHT_LABELS = "label/"
"""How the names of bought labels begin; other documents are pages that shoppers fetch."""

LABEL_PROOFS = "label-proof/"


def bought_labels(shop: str, return_id: str) -> str:
    """How the names of all labels begin that were bought for a return."""
    return f"{BOUGHT_LABELS}{shop}/{return_id}/"


def bought_label(ret: Return, postage: Postage) -> str:
    """The document of one purchase."""
    return f"{bought_labels(ret.shop, ret.return_id)}{postage.authorization_id}/{postage.number}"


def hosted_label(token: str) -> str:
    """Found by the hash of its token: who reads the database cannot make a link of it."""
    return "hosted/" + hashlib.sha256(token.encode()).hexdigest()


def link_mark(shop: str, return_id: str) -> str:
    """Where an operator's link of a return to fulfillment orders is remembered."""
    return f"link/{shop}/{return_id}"


def proof_mark(shop: str, return_id: str) -> str:
    """Where the link to a label is kept that a person has to look at."""
    return f"{LABEL_PROOFS}{shop}/{return_id}"


def lane_mark(service: str) -> str:
    """Where it is remembered that labels of a carrier account and service lead to the fulfillment center."""
    return f"label-lane/{service}"


def quiet_mark(shop: str) -> str:
    """Where it is remembered that a shop's portal pays before the inspection, so that no transit is told to it."""
    return f"transit-quiet/{shop}"


def verified_mark(shop: str) -> str:
    """Where it is remembered when a delivery of the shop was last verified."""
    return f"verified/{shop}"
