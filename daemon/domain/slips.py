"""The slip that the shopper prints for each parcel, as plain values."""

from dataclasses import dataclass, field

from daemon.domain.orders import PostalAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipParcel:
    """One authorization's parcel. `units` are (SKU, count); `label_pdf`, a PDF or PNG, is None without postage."""

    rma_id: str
    page_url: str
    ship_to: PostalAddress | None
    units: tuple[tuple[str, int], ...]
    label_pdf: bytes | None = field(repr=False)
