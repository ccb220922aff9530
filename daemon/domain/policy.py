"""One shop's choices, as the rules need them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.domain.matching import SkuMap
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.returns import Label, LabelSourceName, Switches, Transit
from daemon.domain.verdict import VerdictPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopPolicy:
    """A merchant's decisions for one shop. Reasons are keyed by folded (parent, reason); empty matches any.

    `shared_templates` may also make ids of other shops' orders. `own_prefix` says that no other shop of the account
    uses this shop's prefix. `labels` says whether mcfd makes the shop's labels.
    """

    destinations: frozenset[str] = frozenset()
    only_returns: frozenset[str] = frozenset()
    order_id_templates: tuple[str, ...] = ("{provider_order_id}",)
    order_id_prefix: str = ""
    shared_templates: frozenset[str] = frozenset()
    own_prefix: bool = False
    sole_shop: bool = True
    home_countries: frozenset[str] = frozenset({"US"})
    sku_map: SkuMap = field(default_factory=dict)
    hold_unmatched: bool = True
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)
    default_reason: str = "CR-UNWANTED_ITEM"
    report_transit: str = "delivered"
    verdict: VerdictPolicy
    label_source: LabelSourceName = LabelSourceName.RMA_PAGE
    page_instead: frozenset[LabelSourceName] = frozenset()
    max_spend_per_day_cents: int | None = None
    labels: bool = True
    switches: Switches = field(default_factory=Switches)
    rma_carrier: str = "Amazon"
    rma_rate_cents: int = 0

    @property
    def own_prefixes(self) -> tuple[str, ...]:
        """The prefixes that only this shop's orders have."""
        return (self.order_id_prefix,) if self.own_prefix and self.order_id_prefix else ()

    def not_ours(self, return_id: str, destination_id: str) -> str:
        """Why a return does not concern mcfd; empty if it does."""
        if self.only_returns and return_id not in self.only_returns:
            return "not on the pilot list"
        if self.destinations and destination_id not in self.destinations:
            return "goes to another destination"
        return ""

    def reports(self, transit: Transit) -> bool:
        """Whether the portal is told of that progress."""
        return self.report_transit == "all" or (self.report_transit == "delivered" and transit is Transit.DELIVERED)

    def page_label(self, authorization: ReturnAuthorization) -> Label:
        """Amazon's own page as label: without postage, with the RMA as tracking number."""
        return Label(
            url=authorization.page_url,
            carrier=self.rma_carrier,
            tracking_number=authorization.rma_id,
            rate_cents=self.rma_rate_cents,
        )
