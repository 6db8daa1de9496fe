"""Requests to hosts that the manifest's `capabilities.http` names and an administrator granted.

There are no sockets in the sandbox; the platform makes the request. Calls wait for the reply, one after the other.
"""

from __future__ import annotations

import json as _json
from dataclasses import dataclass
from typing import Any, Mapping
from urllib.parse import urlencode

from resoftai import _host

DEFAULT_TIMEOUT = 10.0
"""Seconds for a whole exchange when the caller names none; the call's own wall limit may cut it shorter."""


@dataclass(frozen=True)
class Response:
    """A reply. `headers` has lower-case names; of a repeated header the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str = ""

    @property
    def ok(self) -> bool:
        """True for a status below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """The body as UTF-8, wrong bytes replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` when it is none."""
        return _json.loads(self.body)


def request(
    method: str,
    url: str,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
    json: Any = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Response:
    """One exchange. Raises `HostError` (a `PluginError`) when the host is not granted or is too slow; seconds."""
    sent = dict(headers or {})
    if json is not None:
        body = _json.dumps(json)
        sent.setdefault("content-type", "application/json")
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
    data = body.encode() if isinstance(body, str) else (body or b"")
    milliseconds = max(1, min(int(timeout * 1000), 2**31))
    status, received, content = _host.current().http_request(
        method.upper(), url, list(sent.items()), data, milliseconds
    )
    return Response(status, {name.lower(): value for name, value in received}, content, url)


def get(url: str, **options: Any) -> Response:
    """`request("GET", ...)`."""
    return request("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    """`request("POST", ...)`."""
    return request("POST", url, **options)


def put(url: str, **options: Any) -> Response:
    """`request("PUT", ...)`."""
    return request("PUT", url, **options)


def delete(url: str, **options: Any) -> Response:
    """`request("DELETE", ...)`."""
    return request("DELETE", url, **options)
