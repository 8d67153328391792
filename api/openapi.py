"""What can be asked of the API, as OpenAPI 3.1, and as a page to read and try?"""

import re
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from offapi import OpenAPITemplate
from starlette.responses import HTMLResponse, Response

from api import position_wire
from api.auth import CORRELATION_ID
from api.endpoint import Call, Endpoint
from api.problems import MEDIA_TYPE, ProblemShown
from api.request_wire import NoParameters

VERSION: Final = "1"
SCHEMAS: Final = "#/components/schemas/"

# The page is one file with everything in it, may load nothing else, and asks only where it came from.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

Schema = dict[str, Any]
_PATH_PARAMETER: Final = re.compile(r"{(\w+)(?::(\w+))?}")
_TEXT: Final[Schema] = {"type": "string"}
_POSITION: Final[Schema] = {"type": "string", "examples": ["users=123,messages=456"]}
_WORD: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}


def docs(_: Call[NoParameters]) -> Response:
    """A page to read this and to try it out."""
    return HTMLResponse(_page(), headers={"Content-Security-Policy": PAGE_POLICY})


def describe(endpoints: Sequence[Endpoint]) -> Schema:
    """The OpenAPI 3.1 document of these endpoints."""
    components: dict[str, Schema] = {}
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        path = re.sub(r":\w+}", "}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ninebell",
            "version": VERSION,
            "description": "Birthday, anniversary and holiday messages at nine in the morning where each person is.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


@cache
def _page() -> str:
    return str(OpenAPITemplate.SWAGGER.value.format(spec_url="/openapi.json"))


def _schema(shape: Any, components: dict[str, Schema]) -> Schema:
    (schema,), found = msgspec.json.schema_components([shape], ref_template=SCHEMAS + "{name}")
    components |= found
    return schema


def _operation(endpoint: Endpoint, components: dict[str, Schema]) -> Schema:
    summary = (endpoint.handler.__doc__ or "").partition("\n")[0].rstrip(".")
    operation: Schema = {"operationId": endpoint.handler.__name__, "summary": summary}
    if parameters := _parameters(endpoint, components):
        operation["parameters"] = parameters
    if endpoint.media:
        body = _TEXT if endpoint.body is None else _schema(endpoint.body, components)
        content = {media: {"schema": body} for media in endpoint.media}
        operation["requestBody"] = {"required": not endpoint.optional, "content": content}
    operation["responses"] = _responses(endpoint, components)
    return operation | ({"security": []} if endpoint.open else {})


def _parameters(endpoint: Endpoint, components: dict[str, Schema]) -> list[Schema]:
    parameters: list[Schema] = []
    for name, form in _PATH_PARAMETER.findall(endpoint.path):
        schema = {"type": "string"} | ({"format": form} if form else {})
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    for field in msgspec.structs.fields(endpoint.query):
        schema = _schema(field.type, components)
        if not field.required and field.default is not None:
            schema = schema | {"default": field.default}
        parameters.append({"name": field.encode_name, "in": "query", "required": field.required, "schema": schema})
    if endpoint.method != "GET":
        own = "The caller's own ID of this call, kept with what comes of it; X-Request-ID and traceparent are taken, too."
        parameters.append({"name": CORRELATION_ID, "in": "header", "description": own, "schema": _WORD})
    if endpoint.method == "GET" and not endpoint.open:
        waited = "Wait until what is read has seen these positions."
        parameters.append({"name": position_wire.HEADER, "in": "header", "description": waited, "schema": _POSITION})
    return parameters


def _responses(endpoint: Endpoint, components: dict[str, Schema]) -> Schema:
    status = HTTPStatus(endpoint.status)
    response: Schema = {"description": status.phrase}
    if endpoint.gives is not None:
        response["content"] = {endpoint.produces: {"schema": _schema(endpoint.gives, components)}}
    if endpoint.method != "GET":
        response["headers"] = {position_wire.HEADER: {"schema": _POSITION}, CORRELATION_ID: {"schema": _WORD}}
    problem = {"content": {MEDIA_TYPE: {"schema": _schema(ProblemShown, components)}}}
    problems = {str(code): {"description": HTTPStatus(code).phrase} | problem for code in sorted(_problems(endpoint))}
    return {str(status.value): response} | problems


def _problems(endpoint: Endpoint) -> set[int]:
    """Its own, and those that any of its kind can have."""
    codes = set(endpoint.problems)
    if not endpoint.open:
        codes |= {401, 503}
    if endpoint.query is not NoParameters:
        codes |= {422}
    if endpoint.media:
        codes |= {400, 415, 422}
    if endpoint.media and not endpoint.streamed:
        codes |= {413}
    return codes
