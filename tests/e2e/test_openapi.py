"""The operator's API is what its description says."""

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from daemon.operations.verbs import VERBS
from tests.e2e.world import MUG, SHOP, SOCK, vendors

MORE = (
    ("reasons", {"sku": SOCK}),
    ("purge", {"rekey": True}),
    ("export", {"report": "unsellable", "since": "2026-01-01"}),
    ("settings_map_reason", {"shop": SHOP, "reason": "Too small", "code": "CR-DEFECTIVE", "by": "ann"}),
    ("settings_unmap_reason", {"shop": SHOP, "reason": "Too small", "by": "ann"}),
)
DECLINED = {
    "adopt",
    "notifications_list",
    "notifications_sync",
    "notify_test",
    "rename_account",
    "rename_shop",
    "resolve",
    "retry",
    "rotate_client_secret",
    "settings_map_reason",
    "settings_unmap_reason",
}
"""What cannot be done to a return that goes well, what nobody has configured here, and what needs more than it must."""


async def test_the_description_is_valid_and_every_answer_keeps_to_it(tmp_path):
    """Tools can read /openapi.json without a token; each verb answers what is written there, and so do refusals."""
    async with vendors(tmp_path) as w:
        w.daemon.config["amazon"]["application_id"] = w.sandbox.options.application_id
        await w.daemon.start()
        w.subscribe()
        status, described = await w.daemon.ops("/openapi.json")
        assert status == 200
        OpenAPIV31SpecValidator(described).validate()
        assert {f"/api/{verb.path}" for verb in VERBS} | {"/healthz", "/readyz", "/metrics", "/proof"} == set(
            described["paths"]
        )

        return_id = w.submit("#7101", SOCK, MUG)
        await w.labelled(return_id)
        known = {
            "return": str(return_id),
            "orders": ["#7101"],
            "by": "ann",
            "text": "#7101",
            "shop": SHOP,
            "deliveries": ["all"],
            "file": str(tmp_path / "copy.db"),
            "old": "nobody",
            "new": "neither",
            "name": f"loop_api_key.{SHOP}",
            "value": "a-credential",
            "code": "CR-DEFECTIVE",
        }
        calls = [(verb.path, {name: known[name] for name in _required(verb)}) for verb in VERBS]
        for path, arguments in (*calls, *MORE):
            operation = described["paths"][f"/api/{path}"]["post"]
            _hold(described, operation["requestBody"]["content"], arguments)
            status, answer = await w.daemon.verb(path, **arguments)
            assert status == (409 if path in DECLINED and (path, arguments) not in MORE else 200), (path, answer)
            _hold(described, operation["responses"][str(status)]["content"], answer)
        status, answer = await w.daemon.verb("show", token="wrong-token-wrong-token", **{"return": str(return_id)})
        assert status == 401
        _hold(described, described["paths"]["/api/show"]["post"]["responses"]["401"]["content"], answer)


def _required(verb) -> list[str]:
    """What must be given, as JSON names it."""
    return [name.removesuffix("_") for name, field in verb.arguments.model_fields.items() if field.is_required()]


def _hold(described, content, value) -> None:
    """Raise when the value is not as its schema says."""
    schema = content["application/json"]["schema"]
    Draft202012Validator({**schema, "components": described["components"]}).validate(value)
