"""A return parcel at Amazon Shipping: plain values, and the choice of how its label is printed. PURE."""

from dataclasses import dataclass, field

from daemon.errors import Refused

LABEL = "LABEL"

# Codes of Refused that mcfd itself raises.
IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
PARCEL_SIZE = "PARCEL_SIZE"
OTHER_CURRENCY = "OTHER_CURRENCY"
NO_PRINTABLE_LABEL = "NO_PRINTABLE_LABEL"
REQUIRED_SERVICE = "REQUIRED_SERVICE"
ADDITIONAL_INPUTS = "REQUIRES_ADDITIONAL_INPUTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintOption:
    """One advertised way to print: `kinds` are the available documents, `mandatory` those that must be ordered."""

    dpis: tuple[int, ...] = ()
    layouts: tuple[str, ...] = ()
    joining: tuple[bool, ...] = ()
    kinds: tuple[str, ...] = ()
    mandatory: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOffer:
    """One advertised format and size, with its print options."""

    format: str
    width: float
    length: float
    unit: str
    options: tuple[PrintOption, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChoice:
    """The document specification to buy."""

    format: str
    width: float
    length: float
    unit: str
    dpi: int | None
    layout: str | None
    joined: bool
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One service on offer, priced in US dollars.

    `services` must be bought with it, and `charge_cents` includes them. `unmet` names further requirements that we
    cannot meet.
    """

    rate_id: str
    carrier_id: str
    carrier_name: str
    charge_cents: int
    documents: tuple[DocumentOffer, ...]
    requires_additional_inputs: bool
    services: tuple[str, ...] = ()
    unmet: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What getRates says of the service asked for. Its token can be used to buy for ten minutes.

    `rate` is None when the service is not `offered`. Nothing else is read of other services.
    """

    request_token: str = field(repr=False)
    rate: Rate | None
    offered: tuple[str, ...]


def choose_document(rate: Rate, preferred: str = "PDF") -> DocumentChoice:
    """Choose how the label is printed: in the preferred format, else PDF, else PNG, if the rate advertises it.

    Raises Refused (NO_PRINTABLE_LABEL) when none of these is offered, since shoppers own no ZPL printer, and
    (ADDITIONAL_INPUTS, REQUIRED_SERVICE) when the service requires more than we can give.
    """
    if rate.unmet:
        raise Refused(REQUIRED_SERVICE, f"the service demands one of the group {rate.unmet}, and none can be bought")
    if rate.requires_additional_inputs:
        raise Refused(ADDITIONAL_INPUTS, "the service wants inputs that nobody can give")
    for wanted in dict.fromkeys((preferred, "PDF", "PNG")):
        for offer in rate.documents:
            for option in offer.options:
                if offer.format == wanted and LABEL in option.kinds:
                    return _choice(offer, option)
    raise Refused(NO_PRINTABLE_LABEL, "the service offers no label as PDF or PNG")


def _choice(offer: DocumentOffer, option: PrintOption) -> DocumentChoice:
    """Take the highest resolution up to 300 dpi, the plainest layout, and separate files where allowed."""
    dpis = [dpi for dpi in option.dpis if dpi <= 300] or option.dpis
    layouts = [layout for layout in option.layouts if layout == "DEFAULT"] or option.layouts
    return DocumentChoice(
        format=offer.format,
        width=offer.width,
        length=offer.length,
        unit=offer.unit,
        dpi=max(dpis, default=None),
        layout=next(iter(layouts), None),
        joined=bool(option.joining) and False not in option.joining,
        kinds=tuple(dict.fromkeys((LABEL, *option.mandatory))),
    )
