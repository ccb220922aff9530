"""The control operations, each with the schema of its arguments."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from adapters.sandbox.amazon.control import AmazonControl
from adapters.sandbox.complaints import words
from adapters.sandbox.easypost.control import EasyPostControl
from adapters.sandbox.forgetting import ForgettingControl
from adapters.sandbox.hosted import HostedControl
from adapters.sandbox.loop.control import LoopControl

AMAZON = (
    *("create_order", "set_shipment_status", "set_reason_codes", "refuse_sku", "set_label_after", "offer_services"),
    *("set_documents_after", "scan", "carry", "lose", "receive", "revoke_access", "restore_access"),
    *("expire_access_tokens", "rotate_client_secret", "set_reads_lag", "announce", "warn_of_secret"),
)
LOOP = (
    *("submit_return", "cancel_return", "edit_return", "reissue_label_request", "cancel_label_request"),
    *("settle_review", "flag_return", "close_return", "expire", "restock", "plan_processing", "set_process_after"),
    "set_webhook_url",
)
EASYPOST = (
    *("offer_rates", "scan_easypost", "send_back", "set_funds", "set_easypost_key", "refuse_purchase"),
    *("time_out_purchase", "plan_refund", "settle_refund", "print_pictures", "set_easypost_webhook"),
)
HOSTED = ("answer_as_hosted",)
ALL = ("set_faults",)
FORGETTING = ("forget_closed",)


class WrongArguments(Exception):
    """The arguments do not fit the operation; `problems` lists each wrong value with a sentence."""

    def __init__(self, problems: Sequence[tuple[object, str]]) -> None:
        super().__init__(problems[0][1])
        self.problems = problems


@dataclass(frozen=True)
class Operation:
    """One method of the sandbox. `arguments` is the schema of its keyword arguments."""

    name: str
    side: str
    method: Callable[..., object]
    arguments: type[BaseModel]

    def check(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Convert the arguments for the method. Raises WrongArguments."""
        try:
            made = self.arguments.model_validate(dict(given))
        except ValidationError as error:
            raise WrongArguments(self._explained(error)) from error
        return {name: getattr(made, name) for name in made.model_fields_set}

    def perform(self, sandbox: object, given: Mapping[str, object]) -> object:
        """Call the method. Raises WrongArguments, or ControlError when the operation is impossible."""
        return getattr(sandbox, self.name)(**self.check(given))

    def result_schema(self) -> dict[str, Any]:
        """Return the schema of the result."""
        return TypeAdapter(inspect.signature(self.method).return_annotation).json_schema()

    def _explained(self, error: ValidationError) -> list[tuple[object, str]]:
        """List the wrong arguments."""
        found = error.errors(include_url=False)
        places = [json.dumps(".".join(str(part) for part in one["loc"])) for one in found]
        return [
            (one["input"], f"{self.name}: argument {place} {words(one, self.arguments.model_fields)}")
            for one, place in zip(found, places, strict=True)
        ]


def _operation(name: str, side: str, stage: type) -> Operation:
    method = getattr(stage, name)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    fields: dict[str, Any] = {p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in parameters}
    return Operation(name, side, method, create_model(name, __config__=ConfigDict(extra="forbid"), **fields))


OPERATIONS = {
    name: _operation(name, side, stage)
    for side, stage, names in (
        ("Amazon", AmazonControl, AMAZON),
        ("Loop", LoopControl, LOOP),
        ("EasyPost", EasyPostControl, EASYPOST),
        ("Another integration", HostedControl, HOSTED),
        ("All", LoopControl, ALL),
        ("Amazon and Loop", ForgettingControl, FORGETTING),
    )
    for name in names
}
