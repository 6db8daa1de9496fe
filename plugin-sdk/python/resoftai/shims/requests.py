"""The stand-in for `requests`."""

from __future__ import annotations

import json as _json
from http import HTTPStatus
from typing import Any, Iterator

from resoftai import http
from resoftai._host import HostError
from resoftai.shims._exchange import Headers, basic, exchange, refuse

_PASSED = frozenset({"verify", "allow_redirects", "stream", "cert"})


class RequestException(IOError):
    """Any failure; `response` is there when there was one."""

    def __init__(self, *args: Any, response: Response | None = None) -> None:
        super().__init__(*args)
        self.response = response


class HTTPError(RequestException):
    """A status of 400 or above, raised by `raise_for_status`."""


class ConnectionError(RequestException):
    """The platform did not make the request; the text says why."""


class Timeout(RequestException):
    """It took too long."""


ConnectTimeout = ReadTimeout = Timeout


class JSONDecodeError(RequestException, ValueError):
    """The body is no JSON."""


class HTTPBasicAuth:
    """User and password for `auth=`."""

    def __init__(self, username: str, password: str) -> None:
        self.username, self.password = username, password

    def __str__(self) -> str:
        return basic(self.username, self.password)


class Response:
    """A reply."""

    def __init__(self, reply: http.Response) -> None:
        self.status_code = reply.status
        self.content = reply.body
        self.headers = Headers(reply.headers)
        self.url = reply.url
        self.encoding = "utf-8"
        phrases = {status.value: status.phrase for status in HTTPStatus}
        self.reason = phrases.get(reply.status, "")

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def __bool__(self) -> bool:
        return self.ok

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding or "utf-8", "replace")

    def json(self, **options: Any) -> Any:
        try:
            return _json.loads(self.content, **options)
        except ValueError as error:
            raise JSONDecodeError(str(error), response=self) from error

    def raise_for_status(self) -> None:
        if not self.ok:
            kind = "Client" if self.status_code < 500 else "Server"
            text = f"{self.status_code} {kind} Error: {self.reason} for url: {self.url}"
            raise HTTPError(text, response=self)

    def iter_content(self, chunk_size: int | None = 1) -> Iterator[bytes]:
        size = chunk_size or len(self.content) or 1
        return (self.content[at : at + size] for at in range(0, len(self.content), size))

    def iter_lines(self, decode_unicode: bool = False, **_: Any) -> Iterator[Any]:
        lines = self.content.splitlines()
        return (line.decode(self.encoding, "replace") for line in lines) if decode_unicode else iter(lines)

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *args: object) -> None:
        pass


class Session:
    """Headers and authentication for several requests. Cookies are not kept."""

    def __init__(self) -> None:
        self.headers: Any = Headers()
        self.auth: Any = None
        self.params: dict[str, Any] = {}
        self.verify: Any = True

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        headers: Any = None,
        auth: Any = None,
        timeout: Any = None,
        **options: Any,
    ) -> Response:
        refuse("requests", options, _PASSED)
        if isinstance(params, dict) or params is None:
            params = {**self.params, **(params or {})}
        merged = Headers({**self.headers, **(headers or {})})
        try:
            reply = exchange(
                method, url, params=params, headers=merged, data=data, json=json, auth=auth or self.auth, timeout=timeout
            )
        except HostError as error:
            raise ConnectionError(str(error)) from error
        return Response(reply)

    def get(self, url: str, **options: Any) -> Response:
        return self.request("GET", url, **options)

    def options(self, url: str, **options: Any) -> Response:
        return self.request("OPTIONS", url, **options)

    def head(self, url: str, **options: Any) -> Response:
        return self.request("HEAD", url, **options)

    def post(self, url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str, data: Any = None, **options: Any) -> Response:
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str, data: Any = None, **options: Any) -> Response:
        return self.request("PATCH", url, data=data, **options)

    def delete(self, url: str, **options: Any) -> Response:
        return self.request("DELETE", url, **options)

    def mount(self, prefix: str, adapter: Any) -> None:
        """Adapters change nothing: the platform makes the requests."""

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *args: object) -> None:
        pass


def session() -> Session:
    return Session()


def request(method: str, url: str, **options: Any) -> Response:
    return Session().request(method, url, **options)


def get(url: str, params: Any = None, **options: Any) -> Response:
    return request("GET", url, params=params, **options)


def head(url: str, **options: Any) -> Response:
    return request("HEAD", url, **options)


def post(url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
    return request("POST", url, data=data, json=json, **options)


def put(url: str, data: Any = None, **options: Any) -> Response:
    return request("PUT", url, data=data, **options)


def patch(url: str, data: Any = None, **options: Any) -> Response:
    return request("PATCH", url, data=data, **options)


def delete(url: str, **options: Any) -> Response:
    return request("DELETE", url, **options)


class _Names:
    """`requests.exceptions` and `requests.auth` as attributes."""

    RequestException, HTTPError, ConnectionError, Timeout = RequestException, HTTPError, ConnectionError, Timeout
    ConnectTimeout, ReadTimeout, JSONDecodeError = Timeout, Timeout, JSONDecodeError
    HTTPBasicAuth = HTTPBasicAuth


exceptions = auth = _Names
