"""What the stand-ins have in common: building a request as these libraries take it, and a case-blind set of headers."""

from __future__ import annotations

import base64
import contextlib
import json as _json
from typing import Any, Iterator, Mapping, MutableMapping
from urllib.parse import urlencode

from resoftai import http


class Headers(MutableMapping[str, str]):
    """Header names compare without regard to case."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._held: dict[str, tuple[str, str]] = {}
        for name, value in (given or {}).items():
            self[name] = value

    def __getitem__(self, name: str) -> str:
        return self._held[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._held[name.lower()] = (name, str(value))

    def __delitem__(self, name: str) -> None:
        del self._held[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def basic(user: str, password: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def seconds(timeout: Any) -> float:
    """The longest of whatever a library takes as a timeout."""
    if isinstance(timeout, (tuple, list)):
        return max((float(part) for part in timeout if part is not None), default=http.DEFAULT_TIMEOUT)
    for name in ("total", "read"):
        timeout = getattr(timeout, name, timeout) or timeout
    return float(timeout) if isinstance(timeout, (int, float)) else http.DEFAULT_TIMEOUT


def exchange(method: str, url: Any, **options: Any) -> http.Response:
    """One request, made by the platform."""
    return http.request(method, **_prepared(url, **options))


def opened(method: str, url: Any, **options: Any) -> contextlib.AbstractContextManager[http.StreamedResponse]:
    """One request whose reply is read while it comes."""
    return http.stream(method, **_prepared(url, **options))


def _prepared(
    url: Any,
    *,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    json: Any = None,
    auth: Any = None,
    timeout: Any = None,
) -> dict[str, Any]:
    sent = Headers(headers)
    if json is not None:
        data = _json.dumps(json)
        sent.setdefault("Content-Type", "application/json")
    elif isinstance(data, (Mapping, list, tuple)):
        data = urlencode(data, doseq=True)
        sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
    elif hasattr(data, "read"):
        data = data.read()
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        auth = basic(*auth)
    if auth is not None:
        sent["Authorization"] = str(auth)
    if params:
        text = params if isinstance(params, str) else urlencode(params, doseq=True)
        url = f"{url}{'&' if '?' in str(url) else '?'}{text}"
    return {"url": str(url), "headers": sent, "body": data, "timeout": seconds(timeout)}


def refuse(library: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Options that change nothing here pass; others are refused by name."""
    for name, value in given.items():
        if value is not None and name not in known:
            raise NotImplementedError(f"{library} in the sandbox has no option {name}: use resoftai.http for more.")
