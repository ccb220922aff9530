"""Checks documents and whole exchanges against Amazon's Swagger models, if these are beside the checkout."""

import functools
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from adapters.sandbox import Sandbox
from adapters.sandbox.listener import Listener

MODELS = Path(__file__).parents[2].parent / "shared/reference/models"
FULFILLMENT = "fulfillmentOutbound_2020-07-01.json"
SHIPPING = "shippingV2.json"
MODEL_OF = {"amazon": FULFILLMENT, "shipping": SHIPPING}
KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float, "boolean": bool}


@functools.cache
def read_model(model):
    """Read a model; None when it is missing."""
    path = MODELS / model
    return json.loads(path.read_text()) if path.exists() else None


def check_models():
    """Skip the test when the models are missing."""
    if not MODELS.is_dir():
        pytest.skip("the vendor's models are not here")


def problems(model, definition, document):
    """Return contradictions to the definition; skip the test when there are no models."""
    check_models()
    jsonschema = pytest.importorskip("jsonschema")
    schema = {"$ref": f"#/definitions/{definition}", "definitions": read_model(model)["definitions"]}
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft4Validator(schema).iter_errors(document)]


def misfits(definitions: dict, schema: dict, value, where: str = "$") -> list[str]:
    """List where a value differs from a Swagger 2 schema; an unknown member counts, too."""
    if "$ref" in schema:
        return misfits(definitions, definitions[schema["$ref"].rsplit("/", 1)[1]], value, where)
    kind = schema.get("type", "object" if "properties" in schema else None)
    if kind and (not isinstance(value, KINDS[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return [f"{where}: not a {kind}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is no member of the enum")
    if len(value) > schema["maxLength"] if "maxLength" in schema else False:
        found.append(f"{where}: too long")
    if schema.get("format") == "date-time":
        datetime.fromisoformat(value)
    if isinstance(value, list) and "items" in schema:
        for n, item in enumerate(value):
            found += misfits(definitions, schema["items"], item, f"{where}[{n}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        found += [f"{where}: {name} is unknown" for name in value if known and name not in known]
        for name in value.keys() & known.keys():
            found += misfits(definitions, known[name], value[name], f"{where}.{name}")
    return found


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    vendor: str
    method: str
    raw_path: str
    body: bytes
    status: int
    headers: dict[str, str]
    answer: bytes


def declared(exchange: Exchange) -> tuple[dict, dict] | None:
    """Find the model and its operation; None for paths outside the API, or without models."""
    swagger = read_model(MODEL_OF[exchange.vendor])
    if swagger is None:
        return None
    path = urlsplit(exchange.raw_path).path
    for template, operations in swagger["paths"].items():
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and exchange.method.lower() in operations:
            return swagger, operations[exchange.method.lower()]
    return None


def answer_misfits(exchange: Exchange) -> list[str]:
    """List where a JSON answer or its headers differ from what the model declares for the status."""
    found = declared(exchange)
    if found is None or not exchange.headers.get("Content-Type", "").startswith("application/json"):
        return []
    swagger, operation = found
    response = operation["responses"].get(str(exchange.status))
    where = f"{exchange.method} {exchange.raw_path} {exchange.status}"
    if response is None:
        return [f"{where}: the status is not declared"]
    complaints = misfits(swagger["definitions"], response["schema"], json.loads(exchange.answer), where)
    if "x-amzn-RequestId" not in exchange.headers:
        complaints.append(f"{where}: no request id")
    if "x-amzn-RateLimit-Limit" in exchange.headers and "x-amzn-RateLimit-Limit" not in response["headers"]:
        complaints.append(f"{where}: a rate limit is shown")
    return complaints


def request_misfits(exchange: Exchange) -> list[str]:
    """List where a request differs from the parameters that the model declares."""
    found = declared(exchange)
    if found is None:
        return []
    swagger, operation = found
    where = f"{exchange.method} {exchange.raw_path}"
    parameters = [
        swagger["parameters"][p["$ref"].rsplit("/", 1)[1]] if "$ref" in p else p for p in operation["parameters"]
    ]
    asked = parse_qs(urlsplit(exchange.raw_path).query, keep_blank_values=True)
    known = {p["name"]: p for p in parameters if p["in"] == "query"}
    complaints = [f"{where}: {name} is no parameter" for name in asked if name not in known]
    complaints += [
        f"{where}: {name} is missing" for name, p in known.items() if p.get("required") and name not in asked
    ]
    for parameter in parameters:
        if parameter["in"] == "body":
            complaints += misfits(swagger["definitions"], parameter["schema"], json.loads(exchange.body), where)
    if exchange.body and not any(p["in"] == "body" for p in parameters):
        complaints.append(f"{where}: the operation takes no body")
    return complaints


class CheckedSandbox(Sandbox):
    """The sandbox, with each answer checked against the models; with `asked` also each request.

    `judged` are the operations and statuses found in the models.
    """

    def __init__(self, options, clock, *, asked: bool = False) -> None:
        super().__init__(options, clock)
        self.misfits: list[str] = []
        self.judged: set[tuple[str, int]] = set()
        self._asked = asked

    def check(self, exchange: Exchange) -> None:
        """Record the differences."""
        if found := declared(exchange):
            self.judged.add((found[1]["operationId"], exchange.status))
        self.misfits += answer_misfits(exchange)
        if self._asked:
            self.misfits += request_misfits(exchange)

    async def _listen(self, exits, vendors, port):
        listener = _CheckedListener(self._shared, vendors, host=self.options.host, port=port, check=self.check)
        exits.push_async_callback(listener.close)
        return await listener.start()


class _CheckedListener(Listener):
    def __init__(self, *given, check, **named) -> None:
        self._check = check
        super().__init__(*given, **named)

    def _watched(self, vendor, route):
        answer = super()._watched(vendor, route)

        async def handle(request: web.Request) -> web.Response:
            response = await answer(request)
            if vendor.name in MODEL_OF:
                self._check(
                    Exchange(
                        vendor=vendor.name,
                        method=request.method,
                        raw_path=request.rel_url.raw_path_qs,
                        body=await request.read(),
                        status=response.status,
                        headers=dict(response.headers),
                        answer=response.body if isinstance(response.body, bytes) else b"",
                    )
                )
            return response

        return handle
