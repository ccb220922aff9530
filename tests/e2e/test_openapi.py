"""The operator's API is what its description says."""

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from daemon.operations.verbs import VERBS
from tests.e2e.world import MUG, SOCK, everyone, vendors

CALLS = (
    *(("status", {}), ("doctor", {}), ("webhooks_list", {}), ("webhooks_sync", {}), ("reasons", {"sku": SOCK})),
    *(("reasons", {}), ("dead_letters", {}), ("replay", {"deliveries": ["all"], "by": "ann"}), ("export", {})),
    *(("purge", {}), ("purge", {"rekey": True}), ("look", {"orders": ["#1"]})),
)


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

        one, other = w.submit("#7101", SOCK, MUG), w.submit("#7102", SOCK)
        await everyone(w.labelled(one), w.labelled(other))
        named = {"return": str(one)}
        calls = [
            *CALLS,
            ("show", named),
            ("match", named),
            ("link", {**named, "orders": ["#7101"], "by": "ann"}),
            ("retry", {**named, "by": "ann"}),
            ("resolve", {**named, "by": "ann"}),
            ("cancel", {"return": str(other), "by": "ann"}),
            ("confirm", {"shop": "acme", "by": "ann"}),
            ("authorize_amazon", {}),
        ]
        assert {path for path, _ in calls} == {verb.path for verb in VERBS}
        for path, arguments in calls:
            operation = described["paths"][f"/api/{path}"]["post"]
            _hold(described, operation["requestBody"]["content"], arguments)
            status, answer = await w.daemon.verb(path, **arguments)
            assert status == (409 if path in {"retry", "resolve"} else 200), (path, answer)
            _hold(described, operation["responses"][str(status)]["content"], answer)
        status, answer = await w.daemon.verb("show", token="wrong-token-wrong-token", **named)
        assert status == 401
        _hold(described, described["paths"]["/api/show"]["post"]["responses"]["401"]["content"], answer)


def _hold(described, content, value) -> None:
    """Raise when the value is not as its schema says."""
    schema = content["application/json"]["schema"]
    Draft202012Validator({**schema, "components": described["components"]}).validate(value)
