"""Chooses the rate at which a label is bought."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The price of one service of one carrier account for a parcel. `cents` are in its own currency."""

    rate_id: str
    carrier: str
    service: str
    carrier_account: str
    cents: int
    currency: str = "USD"

    @property
    def name(self) -> str:
        """Carrier and service, as a merchant writes them in the list of allowed services."""
        return f"{self.carrier}/{self.service}"

    @property
    def lane(self) -> str:
        """Carrier account and service: what was checked on one label holds for the next one of the same lane."""
        return f"{self.carrier_account}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRules:
    """The merchant's limits: allowed services ("USPS/GroundAdvantage", "UPS/*"; none: any), and the highest price."""

    services: tuple[str, ...] = ()
    max_cents: int = 2500
    currency: str = "USD"

    def allows(self, rate: Rate) -> bool:
        """Whether the service is allowed, ignoring its price."""
        name = rate.name.casefold()
        return not self.services or any(fnmatchcase(name, wanted.casefold()) for wanted in self.services)


def choose_rate(rates: Iterable[Rate], rules: RateRules) -> Rate | None:
    """The cheapest allowed rate within the price limit; ties are always broken the same way."""
    fitting = [r for r in rates if rules.allows(r) and r.currency == rules.currency and r.cents <= rules.max_cents]
    return min(fitting, key=lambda rate: (rate.cents, rate.name, rate.carrier_account, rate.rate_id), default=None)


def why_none(rates: Sequence[Rate], rules: RateRules) -> str:
    """Why none of these rates is bought, for the operator who has to decide."""
    if not rates:
        return "no carrier offers a rate"
    allowed = [rate for rate in rates if rules.allows(rate)]
    if not allowed:
        return f"none of the allowed services is offered, only {_listed(rates)}"
    priced = [rate for rate in allowed if rate.currency == rules.currency]
    if not priced:
        return f"the allowed services are not priced in {rules.currency}: {_listed(allowed)}"
    return f"every allowed rate is above {_money(rules.max_cents, rules.currency)}: {_listed(priced)}"


def _listed(rates: Iterable[Rate]) -> str:
    ordered = sorted(rates, key=lambda rate: (rate.cents, rate.name))
    return ", ".join(dict.fromkeys(f"{rate.name} {_money(rate.cents, rate.currency)}" for rate in ordered))


def _money(cents: int, currency: str) -> str:
    return f"{cents // 100}.{cents % 100:02} {currency}"
