"""The choice among rates."""

import pytest

from daemon.domain.postage_rates import Rate, RateRules, choose_rate, why_none


def rate(name: str = "USPS/GroundAdvantage", cents: int = 607, **changes) -> Rate:
    carrier, _, service = name.partition("/")
    facts = {"rate_id": f"rate_{name}_{cents}", "carrier_account": "ca_1"} | changes
    return Rate(carrier=carrier, service=service, cents=cents, **facts)


RATES = (rate("UPS/Ground", 812), rate(cents=607), rate("USPS/Priority", 955))


@pytest.mark.parametrize(
    ("services", "most", "chosen"),
    [
        ((), 2500, "USPS/GroundAdvantage"),
        (("UPS/*",), 2500, "UPS/Ground"),
        (("ups/ground",), 2500, "UPS/Ground"),
        (("USPS/Priority", "UPS/*"), 2500, "UPS/Ground"),
        (("FedEx/*",), 2500, None),
        ((), 606, None),
        ((), 607, "USPS/GroundAdvantage"),
    ],
)
def test_the_cheapest_allowed_rate_is_chosen(services, most, chosen):
    """The cheapest of the allowed services that is not above the highest price, or none."""
    found = choose_rate(RATES, RateRules(services=services, max_cents=most))
    assert (found.name if found else None) == chosen


def test_of_equal_rates_always_the_same():
    """The order in which a vendor lists equal rates decides nothing."""
    equal = [rate("USPS/B", 600), rate("USPS/A", 600, carrier_account="ca_2"), rate("USPS/A", 600)]
    assert choose_rate(equal, RateRules()) == choose_rate(reversed(equal), RateRules()) == equal[2]


def test_another_currency_is_not_compared():
    """A rate in another currency is not bought, however small its number."""
    assert choose_rate([rate(cents=1, currency="CAD")], RateRules()) is None


@pytest.mark.parametrize(
    ("rates", "rules", "words"),
    [
        ((), RateRules(), "no carrier offers a rate"),
        (RATES, RateRules(services=("FedEx/*",)), "none of the allowed services is offered, only USPS/Gr"),
        ((rate(currency="CAD"),), RateRules(), "not priced in USD: USPS/GroundAdvantage 6.07 CAD"),
        (RATES, RateRules(max_cents=500), "every allowed rate is above 5.00 USD: USPS/GroundAdvantage 6.07 USD, UPS"),
    ],
)
def test_says_why_none_fits(rates, rules, words):
    """Whoever has to decide reads what was offered, and at what price."""
    assert words in why_none(rates, rules)


def test_a_lane_is_an_account_and_a_service():
    """What one label has shown holds for the same service of the same account."""
    assert rate().lane == "ca_1/USPS/GroundAdvantage"
