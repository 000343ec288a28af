"""The OpenAPI document, as the contract has it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mistudio_contracts import CONTRACT_VERSION

DESCRIPTION = """\
Load language models on a small GPU and capture their activations.

Every error answer is an `ErrorResponse`: its `code` is one of a fixed list, its `details` name
the `field`, a stable `reason` and a `remedy`. Progress and events come over the WebSocket `/ws`.
"""
METHODS = ("get", "post", "patch", "delete", "put")


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the application's OpenAPI document."""
    if app.openapi_schema is None:
        app.openapi_schema = _describe(app)
    return app.openapi_schema


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="miStudio Model Management",
        version=CONTRACT_VERSION,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    for path in document["paths"].values():
        for method in METHODS:
            if method in path:
                _tidy(path[method])
    components = document.setdefault("components", {})
    for name in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(name, None)
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "Scopes: model:read, model:write (implies read), model:admin (all).",
        }
    }
    return document


def _tidy(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    unprocessable = responses.get("422", {}).get("content", {}).get("application/json", {})
    if "HTTPValidationError" in str(unprocessable.get("schema", "")):
        # FastAPI's own form of a validation error; ours is a 400.
        del responses["422"]
    for status in ("204", "304"):
        responses.get(status, {}).pop("content", None)
    operation["responses"] = dict(sorted(responses.items()))
