"""The rows that finance gets."""

from dataclasses import replace

import pytest

from daemon.cli.commands import _harmless
from daemon.domain.orders import PostalAddress, ReturnAuthorization
from daemon.domain.returns import MISSING, Finding, Postage, Return, ReturnUnit, State, UnitState, Void
from daemon.operations.exports import REPORTS, rows_of
from daemon.operations.verb import money
from daemon.operations.verbs.keeping import UnitRow


def unit(line: str, authorization: str = "A1", **changes) -> ReturnUnit:
    """A unit that Amazon expects."""
    known = {"portal_sku": "P", "sku": "S", "price_cents": 1805, "standing": UnitState.AUTHORIZED}
    return ReturnUnit(line_id=line, authorization_id=authorization, **{**known, **changes})


def ret(*units: ReturnUnit, **changes) -> Return:
    """A return of two parcels."""
    address = PostalAddress(name="FC", line1="1", city="C", postal_code="1", country_code="US")
    authorizations = tuple(
        ReturnAuthorization(authorization_id=a, rma_id=f"RMA-{a}", page_url="https://x", center="RNO1", ship_to=address)
        for a in ("A1", "A2")
    )
    bought = {"shipment_id": "S1", "carrier": "UPS", "charge_cents": 799}
    postage = (
        Postage(authorization_id="A1", tracking_id="1Z1", **bought),
        Postage(authorization_id="A2", tracking_id="1Z2", **(bought | {"charge_cents": 505})),
    )
    known = {"shop": "acme", "return_id": "7", "created_at": 0.0, "authorizations": authorizations, "postage": postage}
    return Return(units=units, **{**known, **changes})


def test_a_parcels_label_is_paid_once():
    """What a label cost stands beside the first unit of its parcel, so that a column's sum is the money spent."""
    rows = rows_of(ret(unit("1"), unit("2"), unit("3", "A2")), REPORTS["units"])
    assert [row.label_cost for row in rows] == ["7.99", None, "5.05"]
    assert [row.tracking for row in rows] == ["1Z1", "1Z1", "1Z2"]
    assert [row.rma for row in rows] == ["RMA-A1", "RMA-A1", "RMA-A2"]
    assert {row.price for row in rows} == {"18.05"}
    assert all(row.model_fields_set == UnitRow.model_fields.keys() for row in rows)


def test_a_label_that_was_given_back_costs_nothing():
    """A voided purchase has no cost and no tracking number."""
    built = ret(unit("1"))
    voided = tuple(replace(p, void=Void.DONE) for p in built.postage)
    row = rows_of(replace(built, postage=voided), REPORTS["units"])[0]
    assert (row.label_cost, row.tracking) == (None, "")


def test_the_reports_pick_their_units():
    """Unsellable is what was found in a named condition that is not sold again; never received is missing or expired."""
    units = (
        unit("fine", finding=Finding(condition="Sellable", found_at=1.0)),
        unit("broken", finding=Finding(condition="CarrierDamaged", found_at=1.0)),
        unit("unclear", finding=Finding(condition="", found_at=1.0)),
        unit("lost", finding=Finding(condition=MISSING, found_at=1.0)),
        unit("out"),
    )

    def lines(report: str, state: State) -> list[object]:
        return [row.line for row in rows_of(ret(*units, state=state), REPORTS[report])]

    assert lines("unsellable", State.CLOSED) == ["broken"]
    assert lines("never-received", State.AWAITING_INSPECTION) == ["lost"]
    assert lines("never-received", State.EXPIRED) == ["lost", "out"]
    assert lines("claims", State.CLOSED) == []
    assert len(lines("units", State.CLOSED)) == 5


def test_a_spreadsheet_is_given_no_formula():
    """A text that a spreadsheet would calculate is quoted; all else goes out as it is."""
    assert _harmless("=1+1") == "'=1+1"
    assert _harmless("@SUM") == "'@SUM"
    assert _harmless("-SALE") == "'-SALE"
    assert [_harmless(value) for value in ("#1001", "", None, 7, "18.00")] == ["#1001", "", None, 7, "18.00"]


def test_nor_is_a_spreadsheet_that_divides_at_semicolons():
    """In half of Europe a semicolon ends a cell, and the next one begins behind it."""
    assert _harmless("red;=1+1; @SUM;blue") == "red;'=1+1;' @SUM;blue"


@pytest.mark.parametrize(("cents", "told"), [(-150, "-1.50"), (-1, "-0.01"), (0, "0.00"), (5, "0.05"), (1234, "12.34")])
def test_amounts_below_zero_are_amounts(cents, told):
    """What Loop took off is told as it is, and a spreadsheet can add it up."""
    assert money(cents) == told
    assert _harmless(told) == told


def test_claims_are_what_amazon_damaged_or_lost():
    """A unit that Amazon damaged, or that is missing though its parcel arrived, is a case for reimbursement."""

    def claims(condition: str, delivered_at: float | None) -> int:
        unit = ReturnUnit(
            line_id="1",
            portal_sku="A",
            sku="A",
            standing=UnitState.AUTHORIZED,
            authorization_id="A1",
            finding=Finding(condition=condition, found_at=1.0),
        )
        parcel = Postage(authorization_id="A1", delivered_at=delivered_at)
        return len(rows_of(replace(ret(unit), postage=(parcel,)), REPORTS["claims"]))

    assert [claims("FulfillerDamaged", at) for at in (None, 5.0)] == [1, 1]
    assert [claims(MISSING, at) for at in (None, 5.0)] == [0, 1]
    assert claims("CustomerDamaged", 5.0) == 0
