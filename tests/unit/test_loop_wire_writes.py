import json

import pytest

from adapters.loop_returns.wire import writes as wire
from daemon.domain.portal import Grade, PortalState
from daemon.domain.returns import Label, Transit

LABEL = Label(url="https://x/l.pdf", carrier="Amazon", tracking_number="RMA-1", rate_cents=650)
GRADE = Grade(
    line_id="310045511",
    grade="grade_d",
    title="Grade D",
    disposition="resale_hold",
    description="Amazon: Defective",
    inspected_at=1_794_470_100.9,
)


def grades(count: int) -> list[Grade]:
    """Make so many grades, of lines numbered from 0."""
    return [
        Grade(line_id=str(i), grade="g", title="t", disposition="d", description="s", inspected_at=0.0)
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (wire.label_request_path("733104"), "/label-requests/733104"),
        (wire.label_request_path("a/b?c#d %"), "/label-requests/a%2Fb%3Fc%23d%20%25"),
        (wire.label_path("550771/"), "/labels/550771%2F"),
        (wire.webhook_path("9&0"), "/webhooks/9%260"),
        (wire.return_path("5812#", "flag"), "/warehouse/return/5812%23/flag"),
        (wire.return_path("é", "notes"), "/warehouse/return/%C3%A9/notes"),
        (wire.remove_path("58", ["1", "2,3"]), "/warehouse/return/58/remove?line_item_id=1,2%2C3"),
        (wire.details_path("58&x=1"), "/warehouse/return/details?return_id=58%26x%3D1"),
        (wire.requests_path("issued", 250, 500), "/label-requests?status=issued&limit=250&offset=500"),
    ],
)
def test_paths_are_spelled_as_loop_has_them(path, expected):
    """Each path by its documented spelling, ids percent-encoded once."""
    assert path == expected


@pytest.mark.parametrize(("cursor", "tail"), [("", ""), ("a%3D", "&cursor=a%3D")])
def test_a_page_of_updated_returns(cursor, tail):
    """All parameters are sent with each page, the window widened to whole seconds of UTC."""
    path = wire.list_path("updated_at", PortalState.REVIEW, 1_794_470_100.9, 1_794_470_200.1, cursor)
    assert path == (
        "/warehouse/return/list?from=2026-11-12T07%3A55%3A00.000Z&to=2026-11-12T07%3A56%3A41.000Z"
        "&filter=updated_at&state=review&paginate=true&pageSize=250" + tail
    )


def test_a_label_is_handed_in():
    """The body has exactly the documented fields; the rate is one object in cents."""
    assert json.loads(wire.label_body("733104", LABEL, "USD")) == {
        "label_request_id": 733104,
        "carrier": "Amazon",
        "tracking_number": "RMA-1",
        "label_url": "https://x/l.pdf",
        "rate": {"amount": 650, "currency_code": "USD"},
    }
    assert json.loads(wire.label_body("733104", LABEL, "EUR"))["rate"] == {"amount": 650, "currency_code": "EUR"}


def test_an_older_id_goes_as_text():
    """An id that never was a number is sent as the text it is."""
    assert json.loads(wire.label_body("7b1f-aa", LABEL, "USD"))["label_request_id"] == "7b1f-aa"
    assert json.loads(wire.label_body("٣", LABEL, "USD"))["label_request_id"] == "٣"


def test_long_texts_are_cut_by_code_point():
    """Each text ends at its limit and never in the middle of a letter."""
    label = json.loads(wire.label_body("1", Label(url="u", carrier="🚚" * 40, tracking_number="é" * 300), "USD"))
    assert (label["carrier"], label["tracking_number"]) == ("🚚" * 32, "é" * 256)
    assert json.loads(wire.error_body("é" * 300))["message"] == "é" * 255
    assert json.loads(wire.note_body("é" * 300))["content"] == "é" * 250
    long = Grade(
        line_id="1", grade="g" * 300, title="t" * 300, disposition="d", description="s" * 300, inspected_at=0.0
    )
    (item,) = json.loads(next(wire.grade_bodies([long], "2026-10", "p" * 300)))["items"]
    category = item["condition_category"]
    assert (len(item["description"]), len(item["return_processor"])) == (255, 100)
    assert (len(category["title"]), len(category["grade"])) == (100, 100)


def test_a_request_is_given_up():
    """The reason is the literal that Loop knows."""
    assert json.loads(wire.error_body("no such order")) == {"reason": "Other", "message": "no such order"}


@pytest.mark.parametrize(
    ("transit", "word"),
    [
        (Transit.NEW, "new"),
        (Transit.PRE_TRANSIT, "pre_transit"),
        (Transit.IN_TRANSIT, "in_transit"),
        (Transit.OUT_FOR_DELIVERY, "out_for_delivery"),
        (Transit.DELIVERED, "delivered"),
    ],
)
def test_a_status_is_told(transit, word):
    """Each status by Loop's word."""
    assert json.loads(wire.transit_body(transit)) == {"status": word}


def test_a_note_is_written():
    """The text goes under its documented name, in ASCII."""
    assert wire.note_body("café") == b'{"content":"caf\\u00e9"}'


def test_a_record_is_optional():
    """No record, no body."""
    assert wire.record_body({}) is None
    assert json.loads(wire.record_body({"amazon_rma": "D7x2"}) or b"") == {"amazon_rma": "D7x2"}


@pytest.mark.parametrize("version", ["2026-07", "v1"])
def test_a_grade_was_a_word(version):
    """Until 2026-07 the category is a word."""
    assert [json.loads(body) for body in wire.grade_bodies([GRADE], version, "mcfd@example.net")] == [
        {
            "items": [
                {
                    "line_item_id": 310045511,
                    "description": "Amazon: Defective",
                    "condition_category": "grade_d",
                    "return_processor": "mcfd@example.net",
                    "inspected_at": "2026-11-12 07:55:00",
                }
            ]
        }
    ]


@pytest.mark.parametrize("version", ["2026-10", "2027-01"])
def test_a_grade_is_an_object(version):
    """Since 2026-10 the category is an object that names a built-in one."""
    assert [json.loads(body) for body in wire.grade_bodies([GRADE], version, "mcfd@example.net")] == [
        {
            "items": [
                {
                    "line_item_id": 310045511,
                    "description": "Amazon: Defective",
                    "condition_category": {
                        "subject": "Item condition grade",
                        "title": "Grade D",
                        "grade": "grade_d",
                    },
                    "return_processor": "mcfd@example.net",
                    "inspected_at": "2026-11-12 07:55:00",
                }
            ]
        }
    ]


def test_a_disposition_is_written():
    """What becomes of a line, and who says so."""
    assert [json.loads(body) for body in wire.assess_bodies([GRADE], "mcfd@example.net")] == [
        {
            "items": [
                {
                    "line_item_id": 310045511,
                    "disposition_outcome": "resale_hold",
                    "return_processor": "mcfd@example.net",
                    "inspected_at": "2026-11-12 07:55:00",
                }
            ]
        }
    ]


def test_nobody_need_sign():
    """Without a processor the field is left out."""
    assert b"return_processor" not in next(wire.assess_bodies([GRADE], ""))


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (20, [20]), (21, [20, 1]), (45, [20, 20, 5])])
def test_lines_go_in_batches_of_twenty(count, sizes):
    """Each line once, in order, at most twenty in a call."""
    for bodies in (wire.grade_bodies(grades(count), "2026-10", "p"), wire.assess_bodies(grades(count), "p")):
        batches = [json.loads(body)["items"] for body in bodies]
        assert [len(batch) for batch in batches] == sizes
        assert [item["line_item_id"] for batch in batches for item in batch] == list(range(count))


def test_a_subscription_says_that_it_is_active():
    """The status is never left to Loop's default."""
    assert json.loads(wire.subscription_body("return", "return.closed", "https://x/w")) == {
        "topic": "return",
        "trigger": "return.closed",
        "url": "https://x/w",
        "status": "active",
    }
