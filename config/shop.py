"""The section of one shop: how Loop is reached, which returns are ours, and what findings lead to."""

import re
from collections.abc import Mapping
from decimal import Decimal
from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.fields import Contradiction, Flag, LoopId, Section, Url, printable

Action = Literal["process", "flag", "ignore"]
Grade = Literal["grade_a", "grade_b", "grade_c", "grade_d", "incorrect_item", "missing", "junk"]
Disposition = Literal["back_to_stock", "resale_hold", "recycle", "donate", "missing"]

CONDITIONS = ("Sellable", "Defective", "CustomerDamaged", "CarrierDamaged", "FulfillerDamaged")
"""Amazon's words for what the inspector found; others may come."""

PLACEHOLDERS = ("provider_order_id", "order_name", "order_name_bare", "order_number", "prefix")

_GRADE_TITLES: Mapping[str, str] = {
    "grade_a": "Grade A",
    "grade_b": "Grade B",
    "grade_c": "Grade C",
    "grade_d": "Grade D",
    "incorrect_item": "Incorrect item",
    "missing": "Missing",
    "junk": "Junk",
}


def _built_in_title(grade: Mapping[str, object]) -> str:
    return _GRADE_TITLES.get(str(grade.get("grade")), "")


def _parse_template(template: str) -> str:
    known = "; write any of " + " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    try:
        parts = [(name, spec, cast) for _, name, spec, cast in Formatter().parse(template) if name is not None]
    except ValueError:
        raise ValueError(f"has an unpaired brace{known}") from None
    if not parts:
        raise ValueError(f"names no part of the order, so every return would match one order{known}")
    for name, spec, cast in parts:
        if name not in PLACEHOLDERS or spec or cast:
            raise ValueError(f"has an unknown placeholder {{{name[:20]}}}{known}")
    if {name for name, _, _ in parts} == {"prefix"}:
        raise ValueError("is only the prefix, so every return would match one order; add {order_name} or another")
    return template


def _parse_bundle(value: object) -> Mapping[str, int]:
    if isinstance(value, str) and value.strip():
        return {value.strip(): 1}
    if not isinstance(value, Mapping) or not value:
        raise ValueError("is not an Amazon SKU; write one in quotes, or {SKU: quantity} for a bundle")
    for sku, quantity in value.items():
        if not isinstance(sku, str) or not sku.strip():
            raise ValueError("holds a SKU that is not text; write it in quotes")
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
            raise ValueError(f"{sku[:40]} has no whole quantity above 0; write {{{sku[:40]}: 1}}")
    bundle = {sku.strip(): quantity for sku, quantity in value.items()}
    if len(bundle) < len(value):
        raise ValueError("names a SKU twice, with blanks around it; add up its quantities")
    return bundle


def _parse_price(value: object) -> Decimal:
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,2})?", text, re.ASCII):
        raise ValueError('is not a price in quotes; write it like "20.00"')
    return Decimal(text)


def _over(defaults: Mapping[str, object]) -> BeforeValidator:
    """Merge: given keys replace their defaults; the other defaults stay."""
    return BeforeValidator(lambda value: {**defaults, **value} if isinstance(value, Mapping) else value)


def _parse_sku_map(value: object) -> object:
    """Trim the SKUs; two that become equal are an error."""
    if not isinstance(value, Mapping):
        return value
    trimmed: dict[object, object] = {}
    for sku, amazons in value.items():
        name = sku.strip() if isinstance(sku, str) else sku
        if name in trimmed:
            raise ValueError(f"holds {str(name)[:40]} twice, with blanks around it; keep one of them")
        if not name:
            raise ValueError("holds a SKU that is blank; remove it")
        trimmed[name] = amazons
    return trimmed


_Text = Annotated[str, printable(200)]
_Code = Annotated[str, printable(100, blanks=False)]
_Template = Annotated[str, Field(max_length=200), AfterValidator(_parse_template)]
_Bundle = Annotated[Mapping[str, int], BeforeValidator(_parse_bundle)]


class Reason(Section):
    """One line of the reason map. Texts are compared trimmed and without case."""

    parent: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Loop's parent reason. Default none: any parent."""

    reason: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Loop's reason. Default none: any reason under `parent`."""

    code: _Code
    """Amazon's reason code."""

    @property
    def key(self) -> tuple[str, str]:
        """The look-up key: (parent, reason), folded, "" for any."""
        return (self.parent or "").strip().casefold(), (self.reason or "").strip().casefold()


class Reasons(Section):
    """Loop's return reasons in Amazon's codes: (parent, reason), then reason, then parent, then the default."""

    default: _Code = "CR-UNWANTED_ITEM"
    """Amazon's code for all others. Default CR-UNWANTED_ITEM, because it blames neither Amazon nor the article."""

    map: tuple[Reason, ...] = ()
    """A list of lines, each with a code and a parent, a reason, or both. Default [], because reasons are each
    shop's own.
      - {parent: Defective, reason: Seam came apart, code: CR-DEFECTIVE}"""

    @model_validator(mode="after")
    def _each_line_says_something_new(self) -> "Reasons":
        seen: dict[tuple[str, str], int] = {}
        problems = []
        for index, line in enumerate(self.map):
            if line.key == ("", ""):
                problems.append((f"map[{index}]", "names neither parent nor reason; add one, or set default"))
            elif line.key in seen:
                problems.append((f"map[{index}]", f"repeats map[{seen[line.key]}]; keep one of them"))
            seen.setdefault(line.key, index)
        if problems:
            raise Contradiction(*problems)
        return self


class Exchanges(Section):
    """Returns that contain an exchange."""

    auto_process: Flag = False
    """true: remove the discrepant items and let Loop process the rest; false: such a return goes to Needs Review.
    Default false, because an exchange order that was sent cannot be taken back."""


class Rule(Section):
    """An exception to `conditions`; the first rule that fits decides."""

    sku: _Text = "*"
    """Pattern of Loop's SKU with * and ?, no other sign is special. Default *: every SKU."""

    reason: _Text = "*"
    """Pattern of Loop's return reason, without case. Default *: every reason."""

    condition: _Text
    """Amazon's condition, `missing`, `not_returnable`, or *."""

    max_value: Annotated[Decimal, BeforeValidator(_parse_price)] | None = None
    """Highest price of the line, in the shop's currency, as text like "20.00". Default none: every price."""

    then: Action
    """process | flag | ignore."""

    @property
    def max_value_cents(self) -> int | None:
        """`max_value` in cents."""
        return None if self.max_value is None else int(self.max_value * 100)


DEFAULT_VERDICTS: Mapping[str, Action] = {
    "Sellable": "process",
    "Defective": "flag",
    "CustomerDamaged": "flag",
    "CarrierDamaged": "flag",
    "FulfillerDamaged": "flag",
}


class Verdict(Section):
    """What each finding does to the return. A condition that is not listed counts as `flag`."""

    conditions: Annotated[Mapping[str, Action], _over(DEFAULT_VERDICTS)] = DEFAULT_VERDICTS
    """Per condition that Amazon found; conditions that are left out keep their default, and one that Amazon invents
    tomorrow is flagged. Default: only Sellable is paid for without a person's eyes."""

    missing: Action = "flag"
    """A unit that never came: process | flag | ignore. Default flag, because a person decides who bears the loss."""

    not_returnable: Action = "flag"
    """A line that Amazon refused, or that was added later: process | flag | ignore. Default flag, because process
    would pay for something that does not come back."""

    condition_absent: Literal["review", "clean"] = "review"
    """Inspected, but without a condition for timings.condition_grace: review | clean. Default review, because a
    condition is never guessed."""

    rules: tuple[Rule, ...] = ()
    """Exceptions, the first that fits decides; sku and reason are patterns with * and ? (default "*": all),
    condition is one of Amazon's, missing, not_returnable or "*", max_value is the line's highest price, in quotes
    (default: any). Default [], because they are each shop's own.
      - {sku: "SOCK-*", reason: "*", condition: Defective, max_value: "20.00", then: process}"""


class ConditionGrade(Section):
    """What Loop's grading shows for one condition."""

    grade: Grade
    """Loop's grade."""

    title: Annotated[str, printable(100)] = Field(default_factory=_built_in_title)
    """Loop's name of the grade, at most 100 characters. Default: the built-in one; any other makes a new category."""

    disposition: Disposition
    """What becomes of the unit."""


DEFAULT_GRADES: Mapping[str, ConditionGrade] = {
    "Sellable": ConditionGrade(grade="grade_a", disposition="back_to_stock"),
    "Defective": ConditionGrade(grade="grade_d", disposition="resale_hold"),
    "CustomerDamaged": ConditionGrade(grade="grade_d", disposition="resale_hold"),
    "CarrierDamaged": ConditionGrade(grade="grade_c", disposition="resale_hold"),
    "FulfillerDamaged": ConditionGrade(grade="grade_c", disposition="resale_hold"),
    "missing": ConditionGrade(grade="missing", disposition="missing"),
}


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value, re.ASCII):
        raise ValueError("is not an e-mail address; write one like mcfd@example.com")
    return value


class Features(Section):
    """What mcfd does for the shop. A change applies to label requests heard, and verdicts reached, from then on; to
    others by `mcfd retry` alone, else turning outcomes on would settle months of old returns."""

    labels: Flag = True
    """false: somebody else makes the labels, and mcfd takes over each return as soon as its label is out. Default true,
    because a shopper waits for it."""

    grades: Flag = True
    """false: Loop is told neither grade nor disposition. Default true, because the merchant sees them in Loop."""

    outcomes: Flag = True
    """false: inspections are noted and graded, and nothing is processed or flagged. Default true, because Loop waits
    for it."""


class Shop(Section):
    """One Loop shop. Its name is the last part of its webhook URL."""

    api_url: Url = "https://api.loopreturns.com/api"
    """Loop's API without the version. URL. Default: Loop's only host; the sandbox has another."""

    api_version: Literal["2026-07", "2026-10"] = "2026-10"
    """Version of Loop's API: "2026-07" | "2026-10". Default "2026-10", because it is the stable one."""

    destinations: tuple[LoopId, ...] = ()
    """Loop destination ids that mean Amazon; returns to other destinations are left alone. `mcfd doctor` lists
    them. Default [], every label request, because a shop with Amazon alone needs no destinations."""

    order_id_templates: Annotated[tuple[_Template, ...], Field(min_length=1)] = (
        "{provider_order_id}",
        "{order_name}",
        "{order_name_bare}",
    )
    """How an order of the shop is called at Amazon, tried in this order; `mcfd match RETURN` shows what came of it.
      {provider_order_id}  Shopify's id     {order_name}  #1001     {order_name_bare}  1001 (without the #)
      {prefix}             order_id_prefix, below
      {order_number}       Shopify's running number: usually 1000 below the name, and so another shopper's order by name
    Default: the names that the common connectors give, the least ambiguous first, and no {order_number}."""

    sku_map: Annotated[Mapping[str, _Bundle], BeforeValidator(_parse_sku_map)] = {}
    """Loop SKU: Amazon SKU, or {SKU: quantity} for a bundle.
    Default {}, because most shops use one SKU for both.
      TEE-M: AMZ-TEE-M
      GIFT-SET: {AMZ-MUG: 1, AMZ-SOCK: 2}"""

    order_id_prefix: Annotated[str, Field(max_length=40)] = ""
    """What {prefix} stands for. Text of at most 40 characters. Default "", because most connectors write none."""

    on_unmatched: Literal["auto", "refuse", "hold"] = "auto"
    """What to do with a request whose order is not found within timings.unmatched_deadline: auto | refuse | hold.
      refuse  Loop is told that there will be no label     hold  nothing is said; it waits for `mcfd link`
    Default auto: refuse when destinations are set, else hold, because the request may be another provider's."""

    only_returns: tuple[LoopId, ...] = ()
    """A pilot: only these Loop return ids are touched. Default [], all of them."""

    features: Features = Features()
    """What mcfd does for this shop; each part can be switched off while another integration does it."""

    reasons: Reasons = Reasons()
    """Loop's return reasons in Amazon's codes; `mcfd reasons --sku SKU` lists the codes. Texts are compared trimmed
    and without case: first (parent, reason), then reason, then parent, then the default."""

    report_transit: Literal["all", "delivered", "never"] = "delivered"
    """Which progress of the parcel Loop is told: all | delivered | never. Two things of Loop's pull in opposite
    ways:
      - Loop can be set to pay out on carrier events. If the return policy processes on in_transit, `all` makes Loop
        refund before Amazon has inspected anything: turn that off in the policy, or write delivered or never here.
      - Without any update Loop expires a return after 28 days, even when the parcel is on its way: `never` needs
        parcels that are inspected sooner, and `delivered` parcels that arrive sooner.
    Default delivered, because it errs on the side of inspecting first. A shop whose return Loop paid before the
    inspection is told no transit any more, whatever is written here, until somebody confirms (mcfd status names
    it)."""

    label_source: Literal["amazon_shipping", "easypost", "rma_page"] | None = None
    """Overrides amazon.label_source for this shop: amazon_shipping | easypost | rma_page. Default null, because one
    account mostly pays for all shops."""

    grade_processor: Annotated[str, printable(100), AfterValidator(_email)] = "mcfd@example.com"
    """The return_processor of grades, an e-mail address of at most 100 characters (Loop's limit). Default
    mcfd@example.com, because it reaches nobody; Loop only shows it."""

    exchanges: Exchanges = Exchanges()
    """Returns that contain an exchange."""

    verdict: Verdict = Verdict()
    """What findings do to a return: process (clean), flag (Needs Review) or ignore (counts as neither)."""

    grades: Annotated[Mapping[str, ConditionGrade], _over(DEFAULT_GRADES)] = DEFAULT_GRADES
    """What Loop's grading shows per condition, and for missing; conditions that are left out keep their default.
      grade        grade_a grade_b grade_c grade_d incorrect_item missing junk
      title        Loop's name of that grade, at most 100 characters; another text makes a new category in Loop, so it
                   is best left out: then it is the built-in one
      disposition  back_to_stock resale_hold recycle donate missing
    Default: what can be sold goes back to stock, everything else is held, because only the merchant knows its
    worth."""

    @property
    def unmatched(self) -> Literal["refuse", "hold"]:
        """`on_unmatched`, with auto resolved."""
        if self.on_unmatched == "auto":
            return "refuse" if self.destinations else "hold"
        return self.on_unmatched
