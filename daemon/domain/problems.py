"""Why a return waits for a person, as stable codes that documents and programs can refer to."""

from collections.abc import Mapping
from enum import StrEnum

from daemon.domain.acts import Act
from daemon.errors import ContractBroken, CredentialsRefused, Refused, Transient

NO_LABEL_SOURCE, ANOTHER_KEY = "NO_LABEL_SOURCE", "ANOTHER_KEY"
"""Codes of refusals by mcfd itself: the source of a label is gone, or its key is another now."""


class ProblemCode(StrEnum):
    """One code for each reason. A code never changes its meaning; the problem's text may."""

    ORDER_NOT_FOUND = "order-not-found"
    ORDER_DOUBTFUL = "order-doubtful"
    REQUEST_WITHOUT_LINES = "request-without-lines"
    PARCEL_FROM_ABROAD = "parcel-from-abroad"
    AUTHORIZATION_LATE = "authorization-late"
    AUTHORIZATION_GONE = "authorization-gone"
    UNPROVEN = "unproven"
    ADDRESS_MISSING = "address-missing"
    SERVICE_NOT_OFFERED = "service-not-offered"
    NO_CARRIER_RATE = "no-carrier-rate"
    SPENDING_LIMIT = "spending-limit"
    PURCHASE_REFUSED = "purchase-refused"
    LABEL_LATE = "label-late"
    DOCUMENT_LATE = "document-late"
    LABEL_UNREADABLE = "label-unreadable"
    LABEL_LEADS_ELSEWHERE = "label-leads-elsewhere"
    LABEL_SOURCE_GONE = "label-source-gone"
    LABEL_SOURCE_REFUSED = "label-source-refused"
    TEST_KEY = "test-key"
    KEY_CHANGED = "key-changed"
    AMAZON_REFUSED = "amazon-refused"
    LOOP_REFUSED = "loop-refused"
    CREDENTIALS_REFUSED = "credentials-refused"
    VENDOR_SILENT = "vendor-silent"
    ANSWER_UNREADABLE = "answer-unreadable"
    ERROR_IN_MCFD = "error-in-mcfd"
    IN_REVIEW = "in-review"
    OTHER = "other"


_OWN_REFUSALS: Mapping[str, ProblemCode] = {
    NO_LABEL_SOURCE: ProblemCode.LABEL_SOURCE_GONE,
    ANOTHER_KEY: ProblemCode.KEY_CHANGED,
}
_REFUSED_BY: Mapping[Act, ProblemCode] = {
    Act.MATCH_ORDER: ProblemCode.AMAZON_REFUSED,
    Act.AUTHORIZE_UNITS: ProblemCode.AMAZON_REFUSED,
    Act.LOOK_FOR_AUTHORIZATION: ProblemCode.AMAZON_REFUSED,
    Act.LOOK_FOR_INSPECTION: ProblemCode.AMAZON_REFUSED,
    Act.QUOTE_POSTAGE: ProblemCode.LABEL_SOURCE_REFUSED,
    Act.BUY_POSTAGE: ProblemCode.PURCHASE_REFUSED,
    Act.FETCH_LABEL: ProblemCode.LABEL_SOURCE_REFUSED,
    Act.ISSUE_LABEL: ProblemCode.LABEL_SOURCE_REFUSED,
    Act.VOID_POSTAGE: ProblemCode.LABEL_SOURCE_REFUSED,
    Act.TRACK_PARCELS: ProblemCode.LABEL_SOURCE_REFUSED,
}
"""Whose refusal ends an act; Loop's is the rest."""


def code_of(error: Exception, act: Act) -> ProblemCode:
    """The code of the error that ended an act for good."""
    match error:
        case Refused(code=code) if code in _OWN_REFUSALS:
            return _OWN_REFUSALS[code]
        case Refused():
            return _REFUSED_BY.get(act, ProblemCode.LOOP_REFUSED)
        case CredentialsRefused():
            return ProblemCode.CREDENTIALS_REFUSED
        case Transient():
            return ProblemCode.VENDOR_SILENT
        case ContractBroken():
            return ProblemCode.ANSWER_UNREADABLE
        case _:
            return ProblemCode.ERROR_IN_MCFD
