"""Reading label requests and labels from Loop's answers. PURE.

Takes JSON that `errors.answer` accepted; raises ContractBroken, naming the unreadable field.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from pydantic import PlainValidator

from adapters.loop_returns.wire.values import (
    Id,
    Maybe,
    Measure,
    OptionalRows,
    Payload,
    Text,
    read,
    read_hints,
    require_same,
    rows_of,
    to_text,
)
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
    found = read(_LabelRequest, value, what)
    require_same(found.id, asked, what)
    origin = found.addresses.origin if found.addresses else None
    return PortalLabelRequest(
        request_id=found.id,
        return_id=found.return_id,
        status=found.status,
        skus=tuple(product.sku for product in found.products),
        errors=found.errors,
        origin_country=_country(origin) if origin else "",
        origin=_place(origin) if origin else None,
        private=_private(value),
        parcel=_parcel(found.parcel) if found.parcel else ParcelSize(),
    )


def read_request_page(value: object) -> RequestPage:
    """Read one page of `GET /label-requests?status=issued`."""
    what = "Loop label requests"
    rows = rows_of(value, "data", what)
    found = read_hints(_RequestRow, rows, what)
    requests = [IssuedRequest(request_id=row.id, return_id=row.return_id) for row in found]
    return RequestPage(requests=requests, size=len(rows))


def read_label_id(value: object, location: str | None) -> str:
    """Read the id of a new label from the answer, or else from its Location header."""
    given = value.get("id") if isinstance(value, dict) else None
    if given is None:
        match = re.search(r"/labels/([^/?#]+)/?(?:[?#]|$)", location or "")
        given = unquote(match[1]) if match else None
    if given is None:
        raise ContractBroken("Loop label: id is missing")
    return read(_Label, {"id": given}, "Loop label").id


def _private(value: object) -> tuple[str, ...]:
    """Return every text and number of the shopper's address except the country, also of undocumented members."""
    addresses = value.get("addresses") if isinstance(value, dict) else None
    left: list[tuple[str, object]] = [("", addresses.get("origin") if isinstance(addresses, dict) else None)]
    texts = []
    while left:
        name, inner = left.pop()
        if isinstance(inner, dict | list):
            left += inner.items() if isinstance(inner, dict) else [(name, row) for row in inner]
        elif isinstance(inner, str | int | float) and not name.casefold().startswith("country"):
            texts.append(str(inner).strip())
    return tuple(sorted({text for text in texts if text}))


def _country(address: "_Address") -> str:
    return address.country_code.strip().upper()


def _place(address: "_Address") -> PostalAddress:
    country = _country(address)
    code = address.postal_code.strip()
    return PostalAddress(
        name=address.name,
        line1=address.address1,
        line2=address.address2,
        city=address.city,
        region=address.region,
        postal_code=code.zfill(5) if country == "US" and code.isdigit() else code,  # numbers lose leading zeros
        country_code=country,
    )


def _parcel(parcel: "_Parcel") -> ParcelSize:
    return ParcelSize(length_in=parcel.length, width_in=parcel.width, height_in=parcel.height, weight_g=parcel.weight)


def _status(value: object) -> RequestStatus:
    return RequestStatus(to_text(value).strip().casefold())


def _posted_error(value: object) -> str:
    """Read an earlier label request error: its message, or else its reason."""
    if isinstance(value, dict):
        return to_text(value.get("message")) or to_text(value.get("reason"))
    return to_text(value)


class _Address(Payload):
    """An address in the API, without a phone. Webhooks spell addresses differently; those are never read."""

    name: Text = ""
    address1: Text = ""
    address2: Text = ""
    city: Text = ""
    region: Text = ""
    postal_code: Text = ""
    country_code: Text = ""


class _Addresses(Payload):
    origin: Maybe[_Address] = None


class _Parcel(Payload):
    height: Measure = None
    length: Measure = None
    width: Measure = None
    weight: Measure = None


class _Product(Payload):
    sku: Text = ""


class _LabelRequest(Payload):
    id: Id
    return_id: Id
    status: Annotated[RequestStatus, PlainValidator(_status)]
    addresses: Maybe[_Addresses] = None
    parcel: Maybe[_Parcel] = None
    products: OptionalRows[_Product] = ()
    errors: OptionalRows[Annotated[str, PlainValidator(_posted_error)]] = ()


class _RequestRow(Payload):
    id: Id
    return_id: Id


class _Label(Payload):
    id: Id
