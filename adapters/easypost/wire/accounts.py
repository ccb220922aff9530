"""EasyPost's carrier accounts. PURE."""

from adapters.easypost.wire.errors import refusal
from adapters.vendor_calls.json import parse, printable
from adapters.vendor_calls.reading import JsonObject
from daemon.errors import ContractBroken

ACCOUNTS_PATH = "/carrier_accounts"
READ = "list_carrier_accounts"
NAME_LIMIT = 60


def decode_accounts(status: int, body: bytes) -> tuple[tuple[str, str], ...]:
    """Read (id, carrier) of each; the list is the answer itself, or a member of it."""
    if status >= 300:
        raise refusal(status, body)
    answer = parse(body, READ, float)
    rows = answer.get("carrier_accounts") if isinstance(answer, dict) else answer
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ContractBroken(f"{READ}: the answer is no list of objects")
    nodes = [JsonObject(f"{READ}: [{n}].", row) for n, row in enumerate(rows)]
    return tuple((node.text("id"), _name(node)) for node in nodes)


def _name(node: JsonObject) -> str:
    words = node.optional_text("description") or node.optional_text("readable") or node.optional_text("type")
    return printable(words or "a carrier", NAME_LIMIT)
