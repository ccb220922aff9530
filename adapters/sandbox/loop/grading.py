"""Grading and disposition of single lines; neither changes the state of a return."""

from collections.abc import Mapping

from adapters.sandbox.loop.returns import LineItem, LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.loop.views import OBJECT_GRADES, condition_view
from adapters.sandbox.refusals import Json, VendorError, loop_invalid

GRADES = ("grade_a", "grade_b", "grade_c", "grade_d", "incorrect_item", "missing", "junk")
DISPOSITIONS = ("back_to_stock", "resale_hold", "recycle", "donate", "missing")
SUBJECT = "Item condition grade"
BUILT_IN = {(SUBJECT, f"Grade {letter}"): f"grade_{letter.lower()}" for letter in "ABCD"}
PARTS = ("subject", "title", "grade", "category_name", "category_parent")
TEXTS = {"return_processor": 100, "note": 65535, "inspected_at": 64}
BATCH = 30


class GradingService:
    """Answers both dispositioning calls. `new_categories` are pairs that a grade call created, possibly by a typo."""

    def __init__(self, shop: LoopShop) -> None:
        self.new_categories: list[tuple[str, str]] = []
        self._shop = shop

    def grade(self, body: object, version: str) -> list[Json]:
        """Store a condition per line; the category is a string before 2026-10, an object since."""
        items = _items(body)
        for n, item in enumerate(items):
            _check_item(n, item)
            _check_text(n, item, "description", 255, required=True)
            _check_images(n, item)
            _check_category(n, item, version)
        answers = []
        for (ret, line), item in zip(self._lines(items), items, strict=True):
            line.condition = self._condition(item)
            line.grades += 1
            self._shop.note_down(ret, f"warehouse: {line.sku} graded, {item['description']}")
            answers.append({"line_item_id": line.line_item_id, **(condition_view(line.condition, version) or {})})
        return answers

    def assess(self, body: object) -> list[Json]:
        """Store a disposition per line."""
        items = _items(body)
        for n, item in enumerate(items):
            _check_item(n, item)
            if item.get("disposition_outcome") not in DISPOSITIONS:
                raise loop_invalid(f"items.{n}.disposition_outcome", "The selected disposition outcome is invalid.")
        answers = []
        for (ret, line), item in zip(self._lines(items), items, strict=True):
            names = ("disposition_outcome", "return_processor", "note", "inspected_at")
            line.disposition = {name: item.get(name) for name in names}
            line.assessments += 1
            self._shop.note_down(ret, f"warehouse: {line.sku} assessed, {item['disposition_outcome']}")
            answers.append({"line_item_id": line.line_item_id, **line.disposition})
        return answers

    def _condition(self, item: Mapping[str, object]) -> Json:
        names = ("description", "return_processor", "note", "inspected_at")
        return {name: item.get(name) for name in names} | {
            "condition_category": self._category(item.get("condition_category")),
            "images": item.get("images") or [],
        }

    def _category(self, given: object) -> Json | None:
        if given is None:
            return None
        if not isinstance(given, Mapping):
            title = str(given).replace("_", " ").title()
            return dict.fromkeys(PARTS) | {"subject": SUBJECT, "title": title, "grade": given}
        pair = (str(given["subject"]), str(given["title"]))
        if pair not in BUILT_IN and pair not in self.new_categories:
            self.new_categories.append(pair)
        return {name: given.get(name) for name in PARTS}

    def _lines(self, items: list[Mapping[str, object]]) -> list[tuple[LoopReturn, LineItem]]:
        known = {line.line_item_id: (ret, line) for ret in self._shop.returns.values() for line in ret.lines}
        wanted = [item["line_item_id"] for item in items]
        if any(line_id not in known for line_id in wanted):
            raise VendorError(403, {"errors": [{"message": "A line item does not belong to this shop."}]})
        return [known[line_id] for line_id in wanted if isinstance(line_id, int)]


def _items(body: object) -> list[Mapping[str, object]]:
    items = body.get("items") if isinstance(body, Mapping) else None
    if not isinstance(items, list) or not 1 <= len(items) <= BATCH:
        raise loop_invalid("items", f"The items field is an array of 1 to {BATCH} items.")
    if not all(isinstance(item, Mapping) for item in items):
        raise loop_invalid("items", "Each item must be an object.")
    return items


def _check_item(n: int, item: Mapping[str, object]) -> None:
    line_id = item.get("line_item_id")
    if not isinstance(line_id, int) or isinstance(line_id, bool):
        raise loop_invalid(f"items.{n}.line_item_id", "The line item id must be an integer.")
    for name, longest in TEXTS.items():
        _check_text(n, item, name, longest, required=False)


def _check_text(n: int, item: Mapping[str, object], name: str, longest: int, *, required: bool) -> None:
    value = item.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or not len(value) <= longest or (required and not value):
        raise loop_invalid(f"items.{n}.{name}", f"The {name} must be a string of at most {longest} characters.")


def _check_images(n: int, item: Mapping[str, object]) -> None:
    images = item.get("images") or []
    if not isinstance(images, list) or len(images) > 5 or any(len(str(url)) > 2048 for url in images):
        raise loop_invalid(f"items.{n}.images", "The images are at most 5 URLs of at most 2048 characters.")


def _check_category(n: int, item: Mapping[str, object], version: str) -> None:
    category = item.get("condition_category")
    field = f"items.{n}.condition_category"
    if category is None:
        return
    if version not in OBJECT_GRADES:
        if category not in GRADES:
            raise loop_invalid(field, "The selected condition category is invalid.")
        return
    if not isinstance(category, Mapping):
        raise loop_invalid(field, "The condition category must be an object.")
    if any(not isinstance(category.get(name), str) or not category[name] for name in ("subject", "title")):
        raise loop_invalid(f"{field}.title", "The subject and title fields are required.")
    if any(len(str(category.get(name) or "")) > 100 for name in PARTS):
        raise loop_invalid(field, "Each value has at most 100 characters.")
