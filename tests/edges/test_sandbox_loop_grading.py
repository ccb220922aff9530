"""The Loop stand-in grades lines as Loop's pages say, version by version."""

import pytest

from tests.edges.test_sandbox_swagger import outside

SOCK = {"sku": "SOCK", "price": "18.00", "reason": "Seam came apart", "parent_reason": "Defective"}
UNKNOWN = 999


def details_of(out, ret: int) -> dict:
    """Show what the sandbox holds of a return."""
    return out.sandbox.snapshot()["loop"]["returns"][str(ret)]


def line_ids(out, ret: int) -> list[int]:
    """Name the lines of a return."""
    return [line["line_item_id"] for line in details_of(out, ret)["line_items"]]


def state_of(out, ret: int) -> str:
    """Name the state of a return."""
    return details_of(out, ret)["state"]


def graded(line: int, category, **changes) -> dict:
    """Build the body of a grade call."""
    item = {"line_item_id": line, "description": "Amazon: Defective", "condition_category": category}
    return {"items": [item | {"inspected_at": "2026-11-12 07:55:00"} | changes]}


GRADE_D = {"subject": "Item condition grade", "title": "Grade D", "grade": "grade_d"}


@pytest.mark.parametrize(
    ("version", "category", "status"),
    [
        ("2026-07", "grade_d", 200),
        ("v1", "grade_d", 200),
        ("2026-10", GRADE_D, 200),
        ("2026-10", "grade_d", 422),
        ("2026-07", GRADE_D, 422),
        ("2026-07", "grade_z", 422),
        ("2026-10", {"subject": "Item condition grade"}, 422),
        ("2026-10", GRADE_D | {"title": "x" * 101}, 422),
    ],
)
async def test_the_grade_depends_on_the_version(version, category, status):
    """Before 2026-10 the category is a string, since then an object; anything else is a 422 on that item."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        line = line_ids(out, ret)[0]
        answer = await out.loop("POST", "/dispositioning/grade", graded(line, category), version=version)
        assert answer.status == status
        if status == 422:
            assert next(iter(answer.body["errors"])).startswith("items.0.condition_category")
            return
        shown = await out.loop("GET", f"/warehouse/return/details?return_id={ret}", version=version)
        condition = shown.body["line_items"][0]["condition"]
        seen = condition["condition_category"]
        assert (seen if isinstance(seen, str) else seen["grade"]) == "grade_d"
        assert isinstance(seen, str) == isinstance(category, str)
        assert answer.body[0]["condition_category"] == seen
        assert out.sandbox.snapshot()["loop"]["new_categories"] == []


async def test_a_misspelt_category_is_created():
    """On 2026-10 an unknown pair of subject and title makes a new category, which the snapshot tells."""
    async with outside() as out:
        line = line_ids(out, out.sandbox.submit_return("#1", [SOCK]))[0]
        await out.loop("POST", "/dispositioning/grade", graded(line, GRADE_D | {"title": "Grade  D"}))
        assert out.sandbox.snapshot()["loop"]["new_categories"] == [["Item condition grade", "Grade  D"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"line_item_id": "1"},
        {"description": ""},
        {"description": "x" * 256},
        {"return_processor": "x" * 101},
        {"images": ["u"] * 6},
    ],
)
async def test_grades_have_limits(changes):
    """A string id, a missing or overlong text and too many images are a 422."""
    async with outside() as out:
        line = line_ids(out, out.sandbox.submit_return("#1", [SOCK]))[0]
        answer = await out.loop("POST", "/dispositioning/grade", graded(line, GRADE_D, **changes))
        assert (answer.status, next(iter(answer.body["errors"]))) == (422, f"items.0.{next(iter(changes))}")


async def test_batches_and_strangers():
    """More than thirty items are a 422, a line of another shop a 403, and then nothing is graded."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        item = graded(line_ids(out, ret)[0], GRADE_D)["items"][0]
        assert (await out.loop("POST", "/dispositioning/grade", {"items": [item] * 31})).status == 422
        assert (await out.loop("POST", "/dispositioning/grade", {"items": []})).status == 422
        stranger = item | {"line_item_id": UNKNOWN}
        assert (await out.loop("POST", "/dispositioning/grade", {"items": [item, stranger]})).status == 403
        assert details_of(out, ret)["line_items"][0]["grades"] == 0


async def test_dispositions_are_assessed():
    """A disposition shows on the line and changes no state; an unknown outcome is a 422."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        item = {"line_item_id": line_ids(out, ret)[0], "disposition_outcome": "resale_hold", "note": "held"}
        answer = await out.loop("POST", "/dispositioning/assess", {"items": [item]})
        assert (answer.status, answer.body[0]["disposition_outcome"]) == (200, "resale_hold")
        line = details_of(out, ret)["line_items"][0]
        assert (line["disposition"]["note"], line["assessments"], state_of(out, ret)) == ("held", 1, "open")
        wrong = {"items": [item | {"disposition_outcome": "burn"}]}
        assert (await out.loop("POST", "/dispositioning/assess", wrong)).status == 422
