"""The `easypost` section: labels bought on the merchant's own carrier account."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictInt

from config.durations import Duration
from config.fields import Section, Url, printable
from daemon.domain.durations import DAY

_ACCOUNT = re.compile(r"ca_[A-Za-z0-9]{1,64}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9]{1,40}/(?:[A-Za-z0-9]{1,60}|\*)", re.ASCII)
_PHONE = re.compile(r"\+?[0-9][0-9 .()-]{6,24}", re.ASCII)
_HOST = re.compile(r"(?=.{4,253}$)[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.ASCII | re.IGNORECASE)


def _like(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(what)
        return value

    return AfterValidator(check)


_Account = Annotated[str, _like(_ACCOUNT, "is no carrier account; write its id, ca_… from EasyPost's carrier page")]
_Service = Annotated[str, _like(_SERVICE, "is no service; write one like USPS/GroundAdvantage or UPS/*")]
_Phone = Annotated[str, printable(25), _like(_PHONE, "is no telephone number; write digits, such as 208 555 0100")]
_Host = Annotated[str, _like(_HOST, "is no host name; write one like easypost-files.s3.us-west-2.amazonaws.com")]

API_URL = "https://api.easypost.com/v2"
LABEL_HOSTS = ("easypost-files.s3.us-west-2.amazonaws.com", "easypost-files.s3-us-west-2.amazonaws.com")


class EasyPost(Section):
    """One EasyPost account. Its key is the secret file easypost_api_key."""

    api_url: Url = API_URL
    """EasyPost's API with its version. URL. Default: EasyPost's; the sandbox has another."""

    carrier_accounts: tuple[_Account, ...] = ()
    """Carrier accounts that are asked for rates, by id: ca_… Default [], all of them."""

    services: tuple[_Service, ...] = ()
    """Services that may be bought: "USPS/GroundAdvantage", "UPS/*". Default [], any, because the cheapest is taken."""

    max_rate_cents: Annotated[StrictInt, Field(ge=1)] = 2500
    """The dearest label that is bought without a person, in cents. Default 2500, because no usual parcel costs more."""

    max_spend_per_day_cents: Annotated[StrictInt, Field(ge=1)] | None = None
    """What labels may cost in a day (UTC), in cents; beyond it they are held. Default null, because only you know."""

    on_no_rate: Literal["hold", "rma_page"] = "hold"
    """When no allowed rate is offered: hold | rma_page. Default hold, because a label that the shopper must pay for is
    a surprise that a person should decide on. `mcfd show` has the carriers' own words."""

    shopper_phone: _Phone | None = None
    """A telephone number for where Loop gives none of the shopper. Default null, because most carriers sell without;
    some, such as FedEx, do not."""

    center_phone: _Phone | None = None
    """The same for where Amazon gives none of the fulfillment center. Default null."""

    label_hosts: Annotated[tuple[_Host, ...], Field(min_length=1)] = LABEL_HOSTS
    """Hosts that labels are fetched from, by https. Default EasyPost's two, because nothing else in an answer is
    opened."""

    void_unused_after: Duration = 28 * DAY
    """How long after its purchase a label that nobody used is given back, once Loop holds its return open no longer.
    Duration. Default 28d, because USPS refunds within 30 days only, and Loop lets a return expire after 28."""
