"""Reading label requests and labels from Loop's answers. PURE.

Takes JSON that `errors.answer` accepted; raises ContractBroken, naming the unreadable field.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from adapters.loop_returns.wire.values import (
    inner,
    numbered,
    objects,
    opened,
    read_hints,
    require_same,
    rows_of,
    to_id,
    to_measure,
    to_moment,
    to_text,
)
from adapters.vendor_calls.reading import JsonObject
from daemon.domain.orders import PostalAddress
from daemon.domain.portal import ParcelSize, PortalLabelRequest, RequestStatus
from daemon.errors import ContractBroken
from daemon.ports.vendors import IssuedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPage:
    """One page of the list of label requests; `size` counts all rows, also unreadable ones."""

    requests: Sequence[IssuedRequest]
    size: int


def read_label_request(value: object, asked: str) -> PortalLabelRequest:
    """Read `GET /label-requests/{id}`; it must be the one that was asked for."""
    what = "Loop label request"
    found = opened(value, what)
    row = _issued(found)
    require_same(row.request_id, asked, what)
    addresses = inner(found, "addresses")
    origin = inner(addresses, "origin")
    shopper = addresses.members.get("origin")
    errors = numbered(found, "errors")
    return PortalLabelRequest(
        request_id=row.request_id,
        return_id=row.return_id,
        status=found.need("status", _status),
        skus=tuple(product.read("sku", to_text) for product in objects(found, "products")),
        errors=tuple(errors.read(n, _posted_error) for n in errors.members),
        origin_country=_country(origin),
        origin=_place(origin) if isinstance(shopper, dict) else None,
        private=_private(shopper),
        parcel=_parcel(inner(found, "parcel")),
        created_at=found.read("created_at", to_moment),
    )


def read_requests_of(value: object, return_id: str) -> tuple[list[PortalLabelRequest], int]:
    """Read one page of the label requests of a return, and how many rows it has; other returns' rows are left out."""
    what = "Loop label requests"
    rows = [opened(row, what) for row in rows_of(value, "data", what)]
    found = [read_label_request(row.members, row.need("id", to_id)) for row in rows]
    return [request for request in found if request.return_id == return_id], len(rows)


def read_request_page(value: object) -> RequestPage:
    """Read one page of `GET /label-requests?status=issued`."""
    what = "Loop label requests"
    rows = rows_of(value, "data", what)
    return RequestPage(requests=read_hints(rows, what, _issued), size=len(rows))


def read_label_id(value: object, location: str | None) -> str:
    """Read the id of a new label from the answer, or else from its Location header."""
    given = value.get("id") if isinstance(value, dict) else None
    if given is None:
        match = re.search(r"/labels/([^/?#]+)/?(?:[?#]|$)", location or "")
        given = unquote(match[1]) if match else None
    if given is None:
        raise ContractBroken("Loop label: id is missing")
    return opened({"id": given}, "Loop label").need("id", to_id)


def _issued(row: JsonObject) -> IssuedRequest:
    return IssuedRequest(request_id=row.need("id", to_id), return_id=row.need("return_id", to_id))


def _private(address: object) -> tuple[str, ...]:
    """Return every text and number of the shopper's address except the country, also of undocumented members."""
    left: list[tuple[str, object]] = [("", address)]
    texts = []
    while left:
        name, found = left.pop()
        if isinstance(found, dict | list):
            left += found.items() if isinstance(found, dict) else [(name, row) for row in found]
        elif isinstance(found, str | int | float) and not name.casefold().startswith("country"):
            texts.append(str(found).strip())
    return tuple(sorted({text for text in texts if text}))


def _country(address: JsonObject) -> str:
    return address.read("country_code", to_text).strip().upper()


def _place(address: JsonObject) -> PostalAddress:
    """Read an address in the API, without a phone. Webhooks spell addresses differently; those are never read."""
    country = _country(address)
    code = address.read("postal_code", to_text).strip()
    return PostalAddress(
        name=address.read("name", to_text),
        line1=address.read("address1", to_text),
        line2=address.read("address2", to_text),
        city=address.read("city", to_text),
        region=address.read("region", to_text),
        postal_code=code.zfill(5) if country == "US" and code.isdigit() else code,  # numbers lose leading zeros
        country_code=country,
    )


def _parcel(parcel: JsonObject) -> ParcelSize:
    return ParcelSize(
        length_in=parcel.read("length", to_measure),
        width_in=parcel.read("width", to_measure),
        height_in=parcel.read("height", to_measure),
        weight_g=parcel.read("weight", to_measure),
    )


def _status(value: object) -> RequestStatus:
    return RequestStatus(to_text(value).strip().casefold())


def _posted_error(value: object) -> str:
    """Read an earlier label request error: its message, or else its reason."""
    if isinstance(value, dict):
        return to_text(value.get("message")) or to_text(value.get("reason"))
    return to_text(value)
