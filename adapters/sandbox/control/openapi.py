"""The OpenAPI 3.1 description of the control API, generated from the operations."""

import inspect
from typing import Any

from adapters.sandbox.control.operations import OPERATIONS, Operation
from adapters.sandbox.refusals import Json

READS = {
    "/": ("page", "A page that plays the world by this API", "text/html"),
    "/openapi.json": ("description", "This description", "application/json"),
    "/control": ("operations", "The names of all operations", "application/json"),
    "/control/snapshot": ("snapshot", "Everything that the vendors hold, and the faults in force", "application/json"),
    "/control/calls": ("calls", "Every request that the vendors got, in order of arrival", "application/json"),
}
ERRORS = {
    "400": "The arguments do not fit the operation",
    "409": "What was ordered cannot be, as the world is",
}
COMPONENT = "#/components/schemas/{model}"


def describe() -> Json:
    """Build the description."""
    schemas: dict[str, Any] = {
        "Refusal": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    }
    paths: dict[str, Any] = {path: {"get": _read(*about)} for path, about in READS.items()}
    for operation in OPERATIONS.values():
        arguments = operation.arguments.model_json_schema(ref_template=COMPONENT)
        schemas |= arguments.pop("$defs", {})
        schemas[operation.name] = arguments
        paths[f"/control/{operation.name}"] = {"post": _order(operation)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mcfd sandbox, control API", "version": "1", "description": "Times are in seconds."},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _read(operation_id: str, summary: str, content_type: str) -> Json:
    content: Json = {content_type: {"schema": {} if content_type.endswith("json") else {"type": "string"}}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["Look"],
        "responses": {"200": {"description": summary, "content": content}},
    }


def _order(operation: Operation) -> Json:
    summary, _, more = (inspect.getdoc(operation.method) or "").partition("\n\n")
    body = {"schema": {"$ref": COMPONENT.format(model=operation.name)}}
    result = {"type": "object", "properties": {"result": operation.result_schema()}, "required": ["result"]}
    refusal = {"application/json": {"schema": {"$ref": COMPONENT.format(model="Refusal")}}}
    return {
        "operationId": operation.name,
        "summary": " ".join(summary.split()),
        "description": more,
        "tags": [operation.side],
        "requestBody": {
            "required": bool(operation.arguments.model_json_schema().get("required")),
            "content": {"application/json": body},
        },
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": result}}},
            **{status: {"description": text, "content": refusal} for status, text in ERRORS.items()},
        },
    }
