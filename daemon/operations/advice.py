"""What a person can do about each problem of a return; docs/operating.md has the same words."""

from collections.abc import Mapping

from daemon.domain.problems import ProblemCode as Code

ADVICE: Mapping[Code, str] = {
    Code.ORDER_NOT_FOUND: (
        "Look at what was tried with `mcfd match RETURN`; name the order with `mcfd link RETURN ORDER`, or correct "
        "`order_id_templates`."
    ),
    Code.ORDER_DOUBTFUL: (
        "Another shop of the account, or another order, bears the name: compare with Seller Central, then `mcfd link "
        "RETURN ORDER`. `order_id_prefix` prevents it."
    ),
    Code.REQUEST_WITHOUT_LINES: (
        "The label request names no item of the return: look at the return in Loop, and have it issue the label "
        "request again."
    ),
    Code.PARCEL_FROM_ABROAD: "Amazon takes no returns from that country: agree on another way with the shopper.",
    Code.AUTHORIZATION_LATE: (
        "Look at the order in Seller Central, or with `mcfd match RETURN`; then `mcfd retry RETURN`."
    ),
    Code.AUTHORIZATION_GONE: (
        "Amazon no longer lists the return it accepted: ask Amazon with the RMA; settle the return in Loop by hand, "
        "then `mcfd resolve RETURN`."
    ),
    Code.UNPROVEN: (
        "`mcfd adopt RETURN` compares it with the vendors and takes it over; `mcfd adopt --open` does so with all."
    ),
    Code.ADDRESS_MISSING: "Complete the address in Loop, then `mcfd retry RETURN`.",
    Code.SERVICE_NOT_OFFERED: (
        "Compare the Return Service ID with Amazon's, or set `amazon.on_service_not_offered: rma_page`; then `mcfd "
        "retry RETURN`."
    ),
    Code.NO_CARRIER_RATE: (
        "The carriers' words follow the problem: widen `easypost.services` or `max_rate_cents`, or complete the "
        "address in Loop; then `mcfd retry RETURN`."
    ),
    Code.SPENDING_LIMIT: (
        "Raise `easypost.max_spend_per_day_cents` and restart, or wait for the next day (UTC); then `mcfd retry "
        "RETURN`."
    ),
    Code.PURCHASE_REFUSED: (
        "The carrier's words follow the code: complete the address in Loop, or `easypost.shopper_phone` and "
        "`center_phone`. `mcfd retry RETURN` makes the parcel anew."
    ),
    Code.LABEL_LATE: (
        "`mcfd doctor` says what hinders; `mcfd retry RETURN`, or give a label by hand and `mcfd resolve RETURN`."
    ),
    Code.DOCUMENT_LATE: "`mcfd doctor` says what hinders; then `mcfd retry RETURN`.",
    Code.LABEL_UNREADABLE: (
        "Open the link that `mcfd show RETURN` has. It leads to the center: `mcfd retry RETURN`; if not, `mcfd cancel "
        "RETURN` and look at the carrier account."
    ),
    Code.LABEL_LEADS_ELSEWHERE: (
        "Open the link that `mcfd show RETURN` has. It leads to the center all the same: `mcfd retry RETURN`; if not, "
        "`mcfd cancel RETURN` and look at the carrier account."
    ),
    Code.LABEL_SOURCE_GONE: (
        "Put the label source's key back until these returns are over, restart, then `mcfd retry RETURN`."
    ),
    Code.LABEL_SOURCE_REFUSED: (
        "The code is the carrier's or Amazon's: complete the address or the parcel's size in Loop, then `mcfd retry "
        "RETURN`."
    ),
    Code.TEST_KEY: "Write the production key, `EZAK…`, into `easypost_api_key`, restart, then `mcfd retry RETURN`.",
    Code.KEY_CHANGED: (
        "The label was bought with another key: put that key back, restart, then `mcfd retry RETURN`; or leave that "
        "label alone, and give one by hand."
    ),
    Code.AMAZON_REFUSED: (
        "Amazon's code and words follow: look at the order in Seller Central, and ask Amazon; then `mcfd retry RETURN`."
    ),
    Code.LOOP_REFUSED: (
        "Loop's code and words follow: look at the return in Loop, do there what is left, then `mcfd retry RETURN`, "
        "or `mcfd resolve RETURN`."
    ),
    Code.CREDENTIALS_REFUSED: (
        "`mcfd doctor` says which credentials are refused: correct them, then `mcfd retry RETURN`."
    ),
    Code.VENDOR_SILENT: (
        "The vendor answers other calls, but not this one: `mcfd calls RETURN` shows its answers; `mcfd retry RETURN` "
        "later, or ask the vendor with a request id."
    ),
    Code.ANSWER_UNREADABLE: (
        "The vendor's answer cannot be read; the problem names the field. Report it; `mcfd retry RETURN` after the "
        "fix, or settle it by hand and `mcfd resolve RETURN`."
    ),
    Code.ERROR_IN_MCFD: "The log's `step.crashed` has it. Report it; `mcfd retry RETURN` after the fix.",
    Code.IN_REVIEW: "The notes on the return's timeline in Loop say what Amazon found: process or decline it in Loop.",
    Code.OTHER: (
        "This problem is from before problems had codes: its words say what happened. `mcfd retry RETURN` tries again."
    ),
}
"""By code: the sentence for the person who has to act."""


def document(code: Code) -> str:
    """Where the documentation describes a code."""
    return f"docs/operating.md#{code}"
