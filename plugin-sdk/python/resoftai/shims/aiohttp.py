"""The stand-in for `aiohttp`'s client."""

from __future__ import annotations

import asyncio
import json as _json
from http import HTTPStatus
from typing import Any, AsyncIterator, Generator
from urllib.parse import urljoin

from resoftai import http
from resoftai._host import HostError
from resoftai.shims._exchange import Headers, basic, exchange, refuse

_PASSED = frozenset({"ssl", "allow_redirects", "verify_ssl", "proxy", "compress", "chunked", "raise_for_status"})
_BUILT = frozenset({"connector", "cookie_jar", "trust_env", "json_serialize", "connector_owner", "loop"})


class ClientError(Exception):
    """Any failure."""


class ClientConnectionError(ClientError):
    """The platform did not make the request; the text says why."""


ClientConnectorError = ClientOSError = ServerDisconnectedError = ClientConnectionError
ServerTimeoutError = asyncio.TimeoutError


class ClientResponseError(ClientError):
    """A status of 400 or above, raised by `raise_for_status`."""

    def __init__(self, status: int, message: str, headers: Any = None) -> None:
        super().__init__(f"{status}, message={message!r}")
        self.status, self.message, self.headers = status, message, headers


class ContentTypeError(ClientResponseError, ValueError):
    """The body is no JSON."""


class ClientTimeout:
    """Seconds; the longest of them bounds the whole exchange."""

    def __init__(self, total: float | None = None, **parts: float | None) -> None:
        self.total = total or max((part for part in parts.values() if part), default=None)


class BasicAuth:
    """User and password for `auth=`."""

    def __init__(self, login: str, password: str = "", encoding: str = "utf-8") -> None:
        self._value = basic(login, password)

    def encode(self) -> str:
        return self._value

    __str__ = encode


class TCPConnector:
    """Accepted and without effect: the platform makes the connections."""

    def __init__(self, **_: Any) -> None:
        pass


class _Content:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, n: int = -1) -> bytes:
        taken = self._body if n < 0 else self._body[:n]
        self._body = self._body[len(taken) :]
        return taken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for line in self._body.splitlines(keepends=True):
            yield line


class ClientResponse:
    """A reply."""

    def __init__(self, method: str, reply: http.Response) -> None:
        self.method = method
        self.status = reply.status
        self.headers = Headers(reply.headers)
        self.url = reply.url
        self.content = _Content(reply.body)
        self.reason = {status.value: status.phrase for status in HTTPStatus}.get(reply.status, "")
        self._body = reply.body

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/octet-stream").partition(";")[0]

    async def read(self) -> bytes:
        return self._body

    async def text(self, encoding: str | None = None, errors: str = "replace") -> str:
        return self._body.decode(encoding or "utf-8", errors)

    async def json(self, **_: Any) -> Any:
        try:
            return _json.loads(self._body)
        except ValueError as error:
            raise ContentTypeError(self.status, f"the body is not JSON: {error}", self.headers) from error

    def raise_for_status(self) -> None:
        if not self.ok:
            raise ClientResponseError(self.status, self.reason, self.headers)

    def release(self) -> None:
        """There is nothing to release."""

    close = release

    async def __aenter__(self) -> ClientResponse:
        return self

    async def __aexit__(self, *args: object) -> None:
        pass


class _Pending:
    """What a request gives: to be awaited, or entered with `async with`."""

    def __init__(self, work: Any) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, ClientResponse]:
        return self._work.__await__()

    async def __aenter__(self) -> ClientResponse:
        return await self._work

    async def __aexit__(self, *args: object) -> None:
        pass


class ClientSession:
    """Headers, address and authentication for several requests. Cookies are not kept."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        headers: Any = None,
        auth: Any = None,
        timeout: Any = None,
        raise_for_status: bool = False,
        **options: Any,
    ) -> None:
        refuse("aiohttp", options, _BUILT)
        self._base, self.headers, self._auth = base_url, Headers(headers), auth
        self._timeout, self._raise = timeout, raise_for_status
        self.closed = False

    def request(self, method: str, url: Any, **options: Any) -> _Pending:
        return _Pending(self._request(method, str(url), options))

    async def _request(self, method: str, url: str, options: dict[str, Any]) -> ClientResponse:
        given = {k: options.pop(k, None) for k in ("params", "headers", "data", "json", "auth", "timeout")}
        refuse("aiohttp", options, _PASSED)
        if self.closed:
            raise RuntimeError("Session is closed")
        try:
            reply = exchange(
                method,
                urljoin(self._base, url) if self._base else url,
                params=given["params"],
                headers={**self.headers, **(given["headers"] or {})},
                data=given["data"],
                json=given["json"],
                auth=given["auth"] or self._auth,
                timeout=given["timeout"] if given["timeout"] is not None else self._timeout,
            )
        except HostError as error:
            raise ClientConnectionError(str(error)) from error
        response = ClientResponse(method, reply)
        if self._raise or options.get("raise_for_status"):
            response.raise_for_status()
        return response

    def get(self, url: Any, **options: Any) -> _Pending:
        return self.request("GET", url, **options)

    def post(self, url: Any, **options: Any) -> _Pending:
        return self.request("POST", url, **options)

    def put(self, url: Any, **options: Any) -> _Pending:
        return self.request("PUT", url, **options)

    def patch(self, url: Any, **options: Any) -> _Pending:
        return self.request("PATCH", url, **options)

    def delete(self, url: Any, **options: Any) -> _Pending:
        return self.request("DELETE", url, **options)

    def head(self, url: Any, **options: Any) -> _Pending:
        return self.request("HEAD", url, **options)

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> ClientSession:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()


def request(method: str, url: Any, **options: Any) -> _Pending:
    return ClientSession().request(method, url, **options)
