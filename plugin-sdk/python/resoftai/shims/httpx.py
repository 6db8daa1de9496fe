"""The stand-in for `httpx`."""

from __future__ import annotations

import codecs
import contextlib
import json as _json
from typing import Any, AsyncIterator, Iterator
from urllib.parse import urljoin

from resoftai import http
from resoftai._host import HostError
from resoftai.shims._exchange import Headers, basic, exchange, opened, refuse

_PASSED = frozenset({"follow_redirects", "extensions"})
_BUILT = frozenset({"verify", "follow_redirects", "http2", "limits", "cert", "trust_env", "transport"})


class HTTPError(Exception):
    """Any failure."""


class RequestError(HTTPError):
    """The platform did not make the request; the text says why."""


TransportError = ConnectError = NetworkError = RequestError


class TimeoutException(RequestError):
    """It took too long."""


class HTTPStatusError(HTTPError):
    """A status of 400 or above, raised by `raise_for_status`."""

    def __init__(self, message: str, *, request: Any = None, response: Response | None = None) -> None:
        super().__init__(message)
        self.request, self.response = request, response


class Timeout:
    """Seconds; the longest of them bounds the whole exchange."""

    def __init__(self, timeout: float | None = None, **parts: float | None) -> None:
        self.total = max((part for part in [timeout, *parts.values()] if part), default=None)


class BasicAuth:
    """User and password for `auth=`."""

    def __init__(self, username: str, password: str) -> None:
        self._value = basic(username, password)

    def __str__(self) -> str:
        return self._value


class Response:
    """A reply."""

    def __init__(self, reply: http.Response) -> None:
        self.status_code = reply.status
        self.content = reply.body
        self.headers = Headers(reply.headers)
        self.url = reply.url

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def is_error(self) -> bool:
        return self.status_code >= 400

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self, **options: Any) -> Any:
        return _json.loads(self.content, **options)

    def raise_for_status(self) -> Response:
        if self.is_error:
            raise HTTPStatusError(f"Status {self.status_code} for url {self.url}", response=self)
        return self

    def read(self) -> bytes:
        return self.content

    async def aread(self) -> bytes:
        return self.content

    def iter_lines(self) -> Iterator[str]:
        return iter(self.text.splitlines())

    async def aiter_lines(self) -> AsyncIterator[str]:
        for line in self.text.splitlines():
            yield line

    def iter_text(self) -> Iterator[str]:
        yield self.text

    async def aiter_text(self) -> AsyncIterator[str]:
        yield self.text


class _Streamed(Response):
    """A reply that is read while it comes."""

    def __init__(self, reply: http.StreamedResponse) -> None:
        self.status_code = reply.status
        self.headers = Headers(reply.headers)
        self.url = reply.url
        self._reply = reply
        self._read: bytes | None = None

    @property
    def content(self) -> bytes:
        if self._read is None:
            self._read = self._reply.read()
        return self._read

    def read(self) -> bytes:
        return self.content

    async def aread(self) -> bytes:
        return self.content

    def iter_bytes(self) -> Iterator[bytes]:
        return self._reply.iter_bytes()

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for piece in self._reply.iter_bytes():
            yield piece

    def iter_lines(self) -> Iterator[str]:
        return self._reply.iter_lines()

    async def aiter_lines(self) -> AsyncIterator[str]:
        for line in self._reply.iter_lines():
            yield line

    def iter_text(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for piece in self._reply.iter_bytes():
            yield decoder.decode(piece)

    async def aiter_text(self) -> AsyncIterator[str]:
        for text in self.iter_text():
            yield text


class _Base:
    def __init__(
        self,
        *,
        base_url: str = "",
        headers: Any = None,
        params: Any = None,
        auth: Any = None,
        timeout: Any = None,
        **options: Any,
    ) -> None:
        refuse("httpx", options, _BUILT)
        self.base_url = str(base_url)
        self.headers = Headers(headers)
        self._params, self._auth, self._timeout = params or {}, auth, timeout

    def _send(self, method: str, url: str, **options: Any) -> Response:
        try:
            return Response(exchange(method, **self._prepared(url, options)))
        except HostError as error:
            raise RequestError(str(error)) from error

    @contextlib.contextmanager
    def _open(self, method: str, url: str, **options: Any) -> Iterator[Response]:
        try:
            with opened(method, **self._prepared(url, options)) as reply:
                yield _Streamed(reply)
        except HostError as error:
            raise RequestError(str(error)) from error

    def _prepared(self, url: str, options: dict[str, Any]) -> dict[str, Any]:
        given = {k: options.pop(k, None) for k in ("params", "headers", "content", "data", "json", "auth", "timeout")}
        refuse("httpx", options, _PASSED)
        if self.base_url and "://" not in str(url):
            url = urljoin(self.base_url.rstrip("/") + "/", str(url).lstrip("/"))
        return {
            "url": url,
            "params": {**self._params, **(given["params"] or {})},
            "headers": {**self.headers, **(given["headers"] or {})},
            "data": given["content"] if given["content"] is not None else given["data"],
            "json": given["json"],
            "auth": given["auth"] or self._auth,
            "timeout": given["timeout"] if given["timeout"] is not None else self._timeout,
        }


class Client(_Base):
    """Headers, address and authentication for several requests."""

    def request(self, method: str, url: str, **options: Any) -> Response:
        return self._send(method, url, **options)

    def get(self, url: str, **options: Any) -> Response:
        return self._send("GET", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        return self._send("POST", url, **options)

    def put(self, url: str, **options: Any) -> Response:
        return self._send("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Response:
        return self._send("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        return self._send("DELETE", url, **options)

    @contextlib.contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[Response]:
        """The reply is read while it comes."""
        with self._open(method, url, **options) as reply:
            yield reply

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *args: object) -> None:
        pass


class AsyncClient(_Base):
    """`Client` for code that awaits."""

    async def request(self, method: str, url: str, **options: Any) -> Response:
        return self._send(method, url, **options)

    async def get(self, url: str, **options: Any) -> Response:
        return self._send("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Response:
        return self._send("POST", url, **options)

    async def put(self, url: str, **options: Any) -> Response:
        return self._send("PUT", url, **options)

    async def patch(self, url: str, **options: Any) -> Response:
        return self._send("PATCH", url, **options)

    async def delete(self, url: str, **options: Any) -> Response:
        return self._send("DELETE", url, **options)

    @contextlib.asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[Response]:
        """The reply is read while it comes."""
        with self._open(method, url, **options) as reply:
            yield reply

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *args: object) -> None:
        pass


def request(method: str, url: str, **options: Any) -> Response:
    return Client().request(method, url, **options)


def get(url: str, **options: Any) -> Response:
    return request("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    return request("POST", url, **options)


def put(url: str, **options: Any) -> Response:
    return request("PUT", url, **options)


def patch(url: str, **options: Any) -> Response:
    return request("PATCH", url, **options)


def delete(url: str, **options: Any) -> Response:
    return request("DELETE", url, **options)
