"""Requests to hosts that the manifest's `capabilities.http` names and an administrator granted.

There are no sockets in the sandbox; the platform makes the request. Calls wait for the reply, one after the other.
"""

from __future__ import annotations

import codecs
import contextlib
import json as _json
from dataclasses import dataclass
from typing import Any, Iterator, Mapping
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
    sent = _sent(method, url, params, headers, body, json, timeout)
    status, received, content = _host.current().http_request(*sent)
    return Response(status, _named(received), content, sent[1])


class StreamedResponse:
    """A reply that still comes. `headers` has lower-case names; of a repeated header the last counts."""

    def __init__(self, number: int, status: int, headers: dict[str, str], url: str) -> None:
        self._number = number
        self._ended = False
        self.status = status
        self.headers = headers
        self.url = url

    @property
    def ok(self) -> bool:
        """True for a status below 400."""
        return self.status < 400

    def iter_bytes(self) -> Iterator[bytes]:
        """The body piece by piece, each as soon as it is there."""
        while not self._ended:
            piece = _host.current().http_next(self._number)
            self._ended = piece is None
            if piece is not None:
                yield piece

    def iter_lines(self) -> Iterator[str]:
        """The body line by line, as UTF-8, without the ends of lines."""
        decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
        for piece in self.iter_bytes():
            *lines, rest = (rest + decoder.decode(piece)).split("\n")
            for line in lines:
                yield line.removesuffix("\r")
        if rest := rest + decoder.decode(b"", True):
            yield rest

    def read(self) -> bytes:
        """What is left of the body."""
        return b"".join(self.iter_bytes())


@contextlib.contextmanager
def stream(
    method: str,
    url: str,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
    json: Any = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Iterator[StreamedResponse]:
    """A request whose reply is read while it comes: `with http.stream("POST", url, json=..) as reply`.

    `timeout` bounds the wait for the head of the reply, and for each piece. Raises `HostError` as `request` does.
    """
    sent = _sent(method, url, params, headers, body, json, timeout)
    number, status, received = _host.current().http_open(*sent)
    try:
        yield StreamedResponse(number, status, _named(received), sent[1])
    finally:
        _host.current().http_close(number)


def _named(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _sent(
    method: str,
    url: str,
    params: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
    body: bytes | str | None,
    json: Any,
    timeout: float,
) -> tuple[str, str, list[tuple[str, str]], bytes, int]:
    sent = dict(headers or {})
    if json is not None:
        body = _json.dumps(json)
        sent.setdefault("content-type", "application/json")
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
    data = body.encode() if isinstance(body, str) else (body or b"")
    milliseconds = max(1, min(int(timeout * 1000), 2**31))
    return method.upper(), url, list(sent.items()), data, milliseconds


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
