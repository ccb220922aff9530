"""The OpenAPI description of the operator's HTTP API, made from the table of verbs."""

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from daemon.operations.verb import Verb

OPENAPI = "3.1.0"
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
PROBED = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean"},
        "problems": {"type": "object", "additionalProperties": {"type": "string"}},
        "accounts": {"type": "array", "items": {"type": "string"}},
        "parked": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["ok", "problems"],
}


def describe(verbs: Sequence[Verb[Any, Any, Any]], version: str) -> dict[str, Any]:
    """Describe every verb and the health probes, for tools that make clients, pages and tests."""
    names, definitions = models_json_schema(
        [*((verb.arguments, "validation") for verb in verbs), *((verb.answer, "serialization") for verb in verbs)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "mcfd, for operators",
            "version": version,
            "description": "What the command line asks of the running daemon, at `listen.ops` on its machine.",
        },
        "paths": {
            **{
                f"/api/{verb.path}": {
                    "post": _operation(verb, names[verb.arguments, "validation"], names[verb.answer, "serialization"])
                }
                for verb in verbs
            },
            "/healthz": _probe("health", "Whether every service of the daemon is heard of in time."),
            "/readyz": _probe(
                "readiness", "Whether requests may come: the store can be used, mcfd is not stopping; who is parked."
            ),
            "/metrics": {"get": _metrics()},
            "/proof": {"post": _proof()},
        },
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"ops_token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(verb: Verb[Any, Any, Any], takes: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    summary, _, rest = verb.help.partition("\n")
    return {
        "operationId": verb.path,
        "summary": summary,
        "description": " ".join(rest.split()),
        "security": [{"ops_token": []}],
        "requestBody": {"content": {"application/json": {"schema": takes}}},
        "responses": {
            "200": _json("Done.", answers),
            "400": _json("The body is no JSON object that can be kept.", ERROR),
            "401": _json("The token is missing or wrong.", ERROR),
            "409": _json("It cannot be done; the text says why and what to do.", ERROR),
            "413": _json("The body is too large; ask for fewer at once.", ERROR),
            "500": _json("The daemon failed; its log says why.", ERROR),
            "503": _json("The database cannot be used just now; ask again.", ERROR),
        },
    }


def _probe(name: str, summary: str) -> dict[str, Any]:
    answers = {"200": _json("All is well.", PROBED), "503": _json("What is wrong, by name.", PROBED)}
    return {"get": {"operationId": name, "summary": summary, "responses": answers}}


def _metrics() -> dict[str, Any]:
    text = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"operationId": "metrics", "summary": "What Prometheus scrapes.", "responses": {"200": text}}


def _proof() -> dict[str, Any]:
    nonce = {"name": "nonce", "in": "query", "required": True, "schema": {"type": "string", "maxLength": 128}}
    schema = {"type": "object", "properties": {"proof": {"type": "string"}}, "required": ["proof"]}
    said = "The HMAC-SHA256 by the token of `mcfd ops listener`, the port and the nonce, each on a line; in hex."
    return {
        "operationId": "proof",
        "summary": "Proves that the listener knows the token, before anybody sends it.",
        "parameters": [nonce],
        "responses": {"200": _json(said, schema)},
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
