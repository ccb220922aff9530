"""A shopper's words become one of Amazon's codes, from the configuration to the call."""

import pytest

from config.model import Settings
from config.secret_files import AccountSecrets
from daemon.app.policies import shop_policy
from daemon.domain.policy import ShopPolicy
from daemon.domain.returns import State
from tests.support.builders import a_line

MAP = [
    {"parent": "Fit", "reason": "Too small", "code": "CR-FIT_SMALL"},
    {"reason": " too  SMALL ", "code": "CR-SMALL"},
    {"parent": "FIT", "code": "CR-FIT"},
    {"reason": "Größe", "code": "CR-SIZE"},
]


def configured() -> ShopPolicy:
    """The choices of a shop whose configuration has this map."""
    file = {
        "public_url": "https://returns.example.com",
        "amazon": {"client_id": "amzn1.application-oa2-client.x"},
        "shops": {"acme": {"order_id_templates": ["{provider_order_id}"], "reasons": {"map": MAP}}},
    }
    account = Settings.model_validate(file).accounts["main"]
    return shop_policy("acme", account, AccountSecrets.model_validate({"amazon_client_secrets": ("s",)}))


@pytest.mark.parametrize(
    ("parent", "reason", "code"),
    [
        ("Fit", "Too small", "CR-FIT_SMALL"),
        (" fit", "too   small ", "CR-FIT_SMALL"),
        ("Other", "TOO SMALL", "CR-SMALL"),
        ("Fit", "Too wide", "CR-FIT"),
        ("", "GRÖSSE", "CR-SIZE"),
        ("Other", "Just so", "CR-UNWANTED_ITEM"),
        ("", "", "CR-UNWANTED_ITEM"),
    ],
)
async def test_the_code_of_a_reason(open_with, parent, reason, code):
    """(parent, reason), reason, parent, default: case, blanks and their number do not matter, on either side."""
    stage = await open_with(policy=configured())
    stage.network.reasons = {"SOCK": (*(line["code"] for line in MAP), "CR-UNWANTED_ITEM")}
    stage.ship(SOCK=1)
    await stage.submit(a_line(parent_reason=parent, reason=reason))
    await stage.reach(State.AWAITING_INSPECTION)
    assert (await stage.unit()).reason_code == code


@pytest.mark.parametrize(
    ("allowed", "code"),
    [(("CR-OTHER", "CR-UNWANTED_ITEM"), "CR-UNWANTED_ITEM"), (("CR-OTHER",), "CR-OTHER"), ((), "CR-UNWANTED_ITEM")],
)
async def test_a_code_that_the_sku_does_not_allow(open_with, allowed, code):
    """Not allowed for the SKU: the default, then the first allowed; an empty list leaves the default. No return fails."""
    stage = await open_with(policy=configured())
    stage.network.reasons = {"SOCK": allowed}
    stage.ship(SOCK=1)
    await stage.submit(a_line(reason="Too small"))
    await stage.reach(State.AWAITING_INSPECTION)
    assert (await stage.unit()).reason_code == code
