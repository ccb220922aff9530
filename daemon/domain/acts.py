"""The kinds of duty, one per kind of call or decision. `duties` decides when each is owed."""

from dataclasses import dataclass
from enum import StrEnum


class Act(StrEnum):
    """The kinds of things that can be owed, in the imperative."""

    READ_REQUEST = "read_request"
    MATCH_ORDER = "match_order"
    AUTHORIZE_UNITS = "authorize_units"
    LOOK_FOR_AUTHORIZATION = "look_for_authorization"
    QUOTE_POSTAGE = "quote_postage"
    BUY_POSTAGE = "buy_postage"
    FETCH_LABEL = "fetch_label"
    VOID_POSTAGE = "void_postage"
    TRACK_PARCELS = "track_parcels"
    ISSUE_LABEL = "issue_label"
    DELIVER_LABEL = "deliver_label"
    REPORT_REFUSAL = "report_refusal"
    WRITE_NOTES = "write_notes"
    GRADE_LINES = "grade_lines"
    REPORT_TRANSIT = "report_transit"
    LOOK_FOR_INSPECTION = "look_for_inspection"
    CONCLUDE = "conclude"
    SETTLE = "settle"
    READ_RETURN = "read_return"


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to do now; `subject` is the label request, fulfillment order or authorization it is about."""

    act: Act
    subject: str = ""

    @property
    def key(self) -> str:
        """The name of the duty in histories and in the store."""
        return f"{self.act}:{self.subject}"
