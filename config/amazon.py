"""The `amazon` section: one seller account, how it is reached, and where labels come from."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StrictInt, model_validator

from config.fields import Amount, Contradiction, Count, Flag, PageUrl, Section, Url, check_printable, printable
from config.notifications import Notifications
from config.secret_files import AccountSecrets

Region = Literal["na", "eu", "fe"]
LabelSource = Literal["amazon_shipping", "easypost", "rma_page"]

LWA_URL = "https://api.amazon.com/auth/o2/token"  # one for all regions

SP_API_URLS: Mapping[Region, str] = {  # https://developer-docs.amazon/sp-api/docs/sp-api-endpoints
    "na": "https://sellingpartnerapi-na.amazon.com",
    "eu": "https://sellingpartnerapi-eu.amazon.com",
    "fe": "https://sellingpartnerapi-fe.amazon.com",
}

MARKETPLACES: Mapping[str, tuple[str, Region]] = {  # https://developer-docs.amazon/sp-api/docs/marketplace-ids
    "ATVPDKIKX0DER": ("US", "na"),
    "A2EUQ1WTGCTBG2": ("CA", "na"),
    "A1AM78C64UM0Y8": ("MX", "na"),
    "A2Q3Y263D00KWC": ("BR", "na"),
    "A1F83G8C2ARO7P": ("UK", "eu"),
    "A1PA6795UKMFR9": ("DE", "eu"),
    "A13V1IB3VIYZZH": ("FR", "eu"),
    "APJ6JRA9NG5V4": ("IT", "eu"),
    "A1RKKUPIHCS9HS": ("ES", "eu"),
    "A1805IZSGTT6HS": ("NL", "eu"),
    "A2NODRKZP88ZB9": ("SE", "eu"),
    "AMEN7PMS3EDWL": ("BE", "eu"),
    "A1C3SOZRARQ6R3": ("PL", "eu"),
    "A33AVAJ2PDY3EV": ("TR", "eu"),
    "A2VIGQ35RCS4UG": ("AE", "eu"),
    "A17E79C6D8DWNP": ("SA", "eu"),
    "ARBP9OOSHTCHU": ("EG", "eu"),
    "A21TJRUUN4KGV": ("IN", "eu"),
    "AE08WJ6YKNBMC": ("ZA", "eu"),
    "A28R8C7NBKEWEA": ("IE", "eu"),
    "A1VC38T7YXB528": ("JP", "fe"),
    "A39IBJ37TRP1C6": ("AU", "fe"),
    "A19VAU5U5O7RUS": ("SG", "fe"),
}

# https://developer-docs.amazon/sp-api/docs/seller-central-urls
_REGION_CONSENT_HOSTS: Mapping[Region, str] = {
    "na": "sellercentral.amazon.com",
    "eu": "sellercentral-europe.amazon.com",
    "fe": "sellercentral.amazon.co.jp",
}
_CONSENT_HOSTS = {
    "CA": "sellercentral.amazon.ca",
    "MX": "sellercentral.amazon.com.mx",
    "BR": "sellercentral.amazon.com.br",
    "AU": "sellercentral.amazon.com.au",
    "SG": "sellercentral.amazon.sg",
}

LABEL_COUNTRIES = frozenset({"US"})

_CURRENCIES = {
    "US": "USD",
    "CA": "CAD",
    "MX": "MXN",
    "BR": "BRL",
    "UK": "GBP",
    "SE": "SEK",
    "PL": "PLN",
    "TR": "TRY",
    "AE": "AED",
    "SA": "SAR",
    "EG": "EGP",
    "IN": "INR",
    "ZA": "ZAR",
    "JP": "JPY",
    "AU": "AUD",
    "SG": "SGD",
} | dict.fromkeys(("DE", "FR", "IT", "ES", "NL", "BE", "IE"), "EUR")

Operation = Literal[
    "createFulfillmentReturn",
    "getFulfillmentOrder",
    "listAllFulfillmentOrders",
    "listReturnReasonCodes",
    "getPackageTrackingDetails",
    "getRates",
    "purchaseShipment",
    "getShipmentDocuments",
    "cancelShipment",
    "getTracking",
    "getCarrierAccountFormInputs",
    "createDestination",
    "getDestinations",
    "createSubscription",
    "getSubscriptions",
    "getSubscription",
    "rotateApplicationClientSecret",
]
"""The operations of SP-API that can be limited, by Amazon's names; getPackageTrackingDetails is never called yet."""


def _not_something_else(*, others: Mapping[str, str]) -> AfterValidator:
    def check(value: str) -> str:
        for start, what in others.items():
            if value.startswith(start):
                raise ValueError(f"is {what}")
        return value

    return AfterValidator(check)


_A_CLIENT_SECRET = "a client secret and never a key; write it into the file amazon_client_secret"  # noqa: S105 -- a sentence
_ClientId = Annotated[
    str,
    printable(256, blanks=False),
    _not_something_else(
        others={
            "amzn1.oa2-cs.": _A_CLIENT_SECRET,
            "amzn1.sp.solution": "an application id; write it as application_id, and here the LWA client id",
        }
    ),
]
_ApplicationId = Annotated[
    str,
    printable(256, blanks=False),
    _not_something_else(
        others={
            "amzn1.oa2-cs.": _A_CLIENT_SECRET,
            "amzn1.application-oa2-client": "an LWA client id; write it as client_id, and here amzn1.sp.solution…",
        }
    ),
]
_ReturnServiceId = Annotated[
    SecretStr, AfterValidator(lambda value: SecretStr(check_printable(value.get_secret_value(), 128)))
]


class Parcel(Section):
    """The parcel that is assumed when Loop's label request leaves its size or weight out."""

    length_in: Amount = 12.0
    """Inches. Default 12: with 9 x 4 the common small shipping carton."""

    width_in: Amount = 9.0
    """Inches. Default 9."""

    height_in: Amount = 4.0
    """Inches. Default 4."""

    weight_g: Amount = 500.0
    """Grams. Default 500: one garment and its carton."""


class Shipping(Section):
    """Labels bought from Amazon Shipping with the Return Service ID."""

    business_id: Literal[
        "AmazonShipping_US",
        "AmazonShipping_IN",
        "AmazonShipping_UK",
        "AmazonShipping_UAE",
        "AmazonShipping_SA",
        "AmazonShipping_EG",
        "AmazonShipping_IT",
        "AmazonShipping_ES",
        "AmazonShipping_FR",
        "AmazonShipping_JP",
    ] = "AmazonShipping_US"
    """Amazon Shipping's business: AmazonShipping_US, _IN, _UK, _UAE, _SA, _EG, _IT, _ES, _FR or _JP. Default
    AmazonShipping_US, written out because Amazon's own default is the United Kingdom."""

    label_format: Literal["PDF", "PNG"] = "PDF"
    """Format of the bought label: PDF | PNG. Default PDF, because shoppers print it as it is."""

    default_parcel: Parcel = Field(default=Parcel(), json_schema_extra={"on_one_line": True})
    """Stands in, value by value, for what Loop's label request leaves out: inches, and grams. Default 12 x 9 x 4
    in, 500 g: the usual small carton with one garment in it. Make it your usual parcel."""


class RmaPage(Section):
    """Labels that are Amazon's RMA page: no postage."""

    carrier: Annotated[str, printable(32)] = "Amazon"
    """The carrier that Loop shows, at most 32 characters (Loop's limit). Default Amazon, because it is Amazon's
    page."""

    rate_cents: Annotated[StrictInt, Field(ge=0)] = 0
    """What the label costs, in cents. Default 0, because no postage is bought."""


class Limit(Section):
    """An operation's usage plan: tokens per second, and how many can be saved up."""

    rate: Amount
    """Calls per second."""

    burst: Count
    """Calls at once after a quiet time."""


class Amazon(Section):
    """One seller account at Amazon."""

    region: Region = "na"
    """Region of the Selling Partner API: na | eu | fe. Default na, because Amazon's labels are for the United
    States today."""

    marketplace_id: Annotated[str, printable(32, blanks=False)] = "ATVPDKIKX0DER"
    """The account's marketplace. Default ATVPDKIKX0DER, the United States, for the same reason. Another one of the
    region is allowed, with a warning."""

    client_id: _ClientId = Field(examples=["amzn1.application-oa2-client.example"])
    """The LWA client id of your application, amzn1.application-oa2-client.… No default: it is yours."""

    application_id: _ApplicationId | None = None
    """The application id, amzn1.sp.solution.… Default null, because only `mcfd authorize amazon` needs it."""

    return_service_id: _ReturnServiceId | None = None
    """The Return Service ID that Amazon gave the merchant, 1 to 128 printable ASCII characters; with it labels
    carry postage. Better the secret file amazon_return_service_id; both at once must say the same. Default null."""

    on_service_not_offered: Literal["hold", "rma_page"] = "hold"
    """What to do when Amazon does not offer that service for a parcel: hold | rma_page.
      hold      the return is stuck with an alarm that names the services offered; nothing is said to the shopper
      rma_page  the label is Amazon's RMA page, without postage
    Default hold, because a label that the shopper must pay for is a surprise that a person should decide on."""

    label_source: Literal["auto", "amazon_shipping", "easypost", "rma_page"] = "auto"
    """Where labels come from: auto | amazon_shipping | easypost | rma_page; docs/which-label-source.md helps to choose.
    A label that was begun with one source is finished with it. Default auto: amazon_shipping with a Return Service ID,
    else easypost with the secret file easypost_api_key, else rma_page, because nothing else can work."""

    endpoint: Url | None = None
    """Overrides the region's URL of the Selling Partner API (the sandbox, a proxy). URL. Default null: Amazon's."""

    lwa_endpoint: Url | None = None
    """Overrides the URL that trades tokens. Default null: https://api.amazon.com/auth/o2/token, one for all
    regions."""

    consent_url: PageUrl | None = None
    """Overrides the page where a seller authorizes the application. Default null: the marketplace's Seller Central.
    An application that is still a draft needs "…/apps/authorize/consent?version=beta"."""

    shipping: Shipping = Shipping()
    """Labels bought with the Return Service ID."""

    rma_page: RmaPage = RmaPage()
    """Labels that are Amazon's RMA page."""

    limits: Mapping[Operation, Limit] = {}
    """Usage plans that differ from Amazon's published ones, by operation: rate in calls per second, burst in calls
    at once. Operations: createFulfillmentReturn getFulfillmentOrder listAllFulfillmentOrders listReturnReasonCodes
    getPackageTrackingDetails getRates purchaseShipment getShipmentDocuments cancelShipment getTracking
    getCarrierAccountFormInputs createDestination getDestinations createSubscription getSubscriptions
    getSubscription rotateApplicationClientSecret. Default {}: 2 and 30, for shipping 80 and 100, because that is
    what Amazon gives every seller.
      getFulfillmentOrder: {rate: 5, burst: 60}"""

    rotate_client_secret: Flag = False
    """Have Amazon replace the client secret when it has fewer than 30 days left; the new one arrives in the queue
    below. true | false. Default false, because every other user of the same client id is locked out a week later."""

    notifications: Notifications = Notifications()
    """A queue at AWS in which Amazon says at once that a return was received or inspected: refunds follow within
    seconds instead of hours, with fewer reads. docs/operating.md, "Notifications", has the queue's policy and what
    it costs."""

    @model_validator(mode="after")
    def _secrets_arrive_somewhere(self) -> "Amazon":
        if self.rotate_client_secret and not self.notifications.queue_url:
            why = "needs notifications.queue_url, for the new secret arrives in a queue; set it, or write false"
            raise Contradiction(("rotate_client_secret", why))
        return self

    @model_validator(mode="after")
    def _marketplace_is_in_region(self) -> "Amazon":
        country, region = MARKETPLACES.get(self.marketplace_id, ("", self.region))
        if region != self.region:
            raise Contradiction(("region", f"the marketplace of {country} is not in {self.region}; write {region}"))
        return self

    @property
    def country(self) -> str:
        """The marketplace's country as Amazon abbreviates it, or "" when it is not in Amazon's table."""
        return MARKETPLACES.get(self.marketplace_id, ("", self.region))[0]

    @property
    def currency(self) -> str:
        """The marketplace's currency, in which labels are paid and the portal is told of it."""
        return _CURRENCIES.get(self.country, "USD")

    @property
    def home_countries(self) -> frozenset[str]:
        """Where parcels may start: Amazon makes return labels in the United States only."""
        return LABEL_COUNTRIES

    @property
    def sp_api_url(self) -> str:
        """The base URL of SP-API in use."""
        return self.endpoint or SP_API_URLS[self.region]

    @property
    def lwa_url(self) -> str:
        """The URL in use that trades codes and refresh tokens for access tokens."""
        return self.lwa_endpoint or LWA_URL

    @property
    def consent_page(self) -> str:
        """The page in use where a seller authorizes the application; it may already carry a query."""
        host = _CONSENT_HOSTS.get(self.country, _REGION_CONSENT_HOSTS[self.region])
        return self.consent_url or f"https://{host}/apps/authorize/consent"

    def return_service_id_in_use(self, secrets: AccountSecrets) -> SecretStr | None:
        """The Return Service ID, from the secret file or from the configuration."""
        return secrets.amazon_return_service_id or self.return_service_id

    def label_source_in_use(self, secrets: AccountSecrets) -> LabelSource:
        """What `auto` comes to."""
        if self.label_source != "auto":
            return self.label_source
        if self.return_service_id_in_use(secrets):
            return "amazon_shipping"
        return "easypost" if secrets.easypost_api_key else "rma_page"
