"""Checks a document against a vendor's Swagger model, where the models lie beside the checkout."""

import functools
import json
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[1].parent / "shared/reference/models"
FULFILLMENT = "fulfillmentOutbound_2020-07-01.json"
SHIPPING = "shippingV2.json"


@functools.cache
def _definitions(model):
    return json.loads((MODELS / model).read_text())["definitions"]


def problems(model, definition, document):
    """Return what contradicts the definition; skips the test when there are no models."""
    if not MODELS.is_dir():
        pytest.skip("the vendor's models are not here")
    jsonschema = pytest.importorskip("jsonschema")
    schema = {"$ref": f"#/definitions/{definition}", "definitions": _definitions(model)}
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft4Validator(schema).iter_errors(document)]
