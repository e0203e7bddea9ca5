"""The node kind ``http.request``: one request, bounded in size and time, that does not reach into private networks.

The name is resolved first, every address has to be public, and the connection goes to an address that was checked, so
that a name cannot change its mind in between; each redirect is checked again. ``HELMSIGHT_WORKER__HTTP_ALLOW_PRIVATE``
turns the guard off. The one exception is our own dashboard's ``/healthz``, which a path without a host asks.
"""

import asyncio
import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, InputError, PolicyError
from analytics.core.settings import Settings
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Transport

MAX_BODY_BYTES = 768 * 1024
MAX_REDIRECTS = 5
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_HIDDEN_HEADERS = {"set-cookie", "authorization", "www-authenticate", "proxy-authenticate"}
_REDIRECTS = {301, 302, 303, 307, 308}
_TOO_MANY = 429
_SERVER_ERROR = 500
_BAD_REQUEST = 400


async def _run(call: NodeCall) -> dict[str, Any]:
    config = call.config
    started = time.perf_counter()
    request = _request(call)
    tls = await asyncio.to_thread(_tls)
    try:
        async with httpx.AsyncClient(
            verify=tls, trust_env=False, follow_redirects=False, timeout=call.timeout.total_seconds()
        ) as client:
            response, body = await _follow(client, request, call)
    except httpx.TimeoutException as error:
        raise DependencyError(f"{request.url.host} did not answer in time; try again.", part="http") from error
    except httpx.TransportError as error:
        raise DependencyError(f"{request.url.host} could not be reached ({error}); try again.", part="http") from error
    seconds = time.perf_counter() - started
    place = f"{request.method} {request.url.host}{request.url.path}"
    said = f"{place}: {response.status_code}, {len(body)} bytes in {seconds:.3f} s"
    call.log.info(said)
    _check_status(response, config.get("expect_status"))
    return {
        "status": response.status_code,
        "url": str(request.url),
        "headers": {name: value for name, value in response.headers.items() if name not in _HIDDEN_HEADERS},
        "bytes": len(body),
        "duration_s": round(seconds, 4),
        **_content(response, body),
    }


def _request(call: NodeCall) -> httpx.Request:
    config = call.config
    method = config.get("method", "GET")
    headers = {"user-agent": "helmsight", **{name.lower(): value for name, value in config.get("headers", {}).items()}}
    if method not in _SAFE_METHODS:
        headers.setdefault("idempotency-key", call.key)
    url = config["url"]
    try:
        return httpx.Request(
            method,
            f"{call.settings.http.inner_url}{url}" if url.startswith("/") else url,
            params=config.get("query"),
            headers=headers,
            json=config.get("json"),
            content=config.get("body"),
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError(f"The address cannot be used ({error}); nothing was sent.") from error


async def _follow(client: httpx.AsyncClient, request: httpx.Request, call: NodeCall) -> tuple[httpx.Response, bytes]:
    for _ in range(MAX_REDIRECTS + 1):
        pinned = await _pinned(request, call.settings)
        response = await client.send(pinned, stream=True)
        try:
            if response.status_code not in _REDIRECTS or not call.config.get("follow_redirects", False):
                return response, await _read(response, call.config.get("max_bytes", MAX_BODY_BYTES))
            request = _redirected(request, response)
            said = f"redirected to {request.url.host}{request.url.path}"
            call.log.info(said)
        finally:
            await response.aclose()
    raise InputError(f"More than {MAX_REDIRECTS} redirects; the request was given up.")


def _redirected(request: httpx.Request, response: httpx.Response) -> httpx.Request:
    target = request.url.join(response.headers.get("location", ""))
    headers = dict(request.headers)
    headers.pop("host", None)
    if (target.scheme, target.host, target.port) != (request.url.scheme, request.url.host, request.url.port):
        for name in ("authorization", "cookie"):
            headers.pop(name, None)
    if request.method in _SAFE_METHODS:
        return httpx.Request(request.method, target, headers=headers)
    raise InputError(f"A {request.method} was redirected to {target}; it was not sent again.")


async def _pinned(request: httpx.Request, settings: Settings) -> httpx.Request:
    """Return *request* addressed to an IP address that was checked; host name and certificate stay the name's."""
    url = request.url
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError(f"{url.scheme or 'no scheme'!r} is not http or https; nothing was sent.")
    if url.userinfo:
        raise InputError("The address carries a password; put it into a header. Nothing was sent.")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise DependencyError(f"There is no host {url.host!r} ({error}); nothing was sent.", part="http") from error
    addresses = [str(item[4][0]).partition("%")[0] for item in found]
    if not (settings.worker.http_allow_private or _is_own_health(request, port, settings)):
        for address in addresses:
            if not is_public(address):
                raise PolicyError(
                    f"{url.host} is at {address}, which is not a public address; nothing was sent."
                    " HELMSIGHT_WORKER__HTTP_ALLOW_PRIVATE=true allows it."
                )
    headers = {**request.headers, "host": url.netloc.decode("ascii")}
    return httpx.Request(
        request.method,
        url.copy_with(host=addresses[0]),
        headers=headers,
        content=request.content,
        extensions={"sni_hostname": url.host},
    )


def is_public(address: str) -> bool:
    """Tell whether *address* is a unicast address of the public internet; one that embeds another is judged by that."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if embedded is None and ip in ipaddress.IPv6Network("64:ff9b::/96"):
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            ip = embedded
    return ip.is_global and not ip.is_multicast


def _is_own_health(request: httpx.Request, port: int, settings: Settings) -> bool:
    """Tell whether it is the question whether our own dashboard is well, the one private address that is harmless."""
    own = httpx.URL(settings.http.inner_url)
    asked = (request.url.host, port, request.url.path)
    return request.method == "GET" and asked == (own.host, own.port or 80, "/healthz")


async def _read(response: httpx.Response, most: int) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes(64 * 1024):
        size += len(part)
        if size > most:
            raise InputError(f"The answer is larger than {most} bytes; it was not kept.")
        parts.append(part)
    return b"".join(parts)


def _content(response: httpx.Response, body: bytes) -> dict[str, Any]:
    """Return the body as JSON when it says it is, as text when it is text, else as neither."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {"json": orjson.loads(body), "text": None}
        except orjson.JSONDecodeError:
            return {"json": None, "text": body.decode("utf-8", errors="replace")}
    if kind.startswith("text/") or kind in {"application/xml", "application/javascript"}:
        return {"json": None, "text": body.decode(response.charset_encoding or "utf-8", errors="replace")}
    return {"json": None, "text": None}


def _check_status(response: httpx.Response, expected: list[int] | None) -> None:
    status = response.status_code
    if (status in expected) if expected else status < _BAD_REQUEST:
        return
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        raise DependencyError(
            f"The server answered {status}; try again.", status=status, **_asked_wait(response.headers)
        )
    raise InputError(f"The server answered {status}, which was not expected; nothing was kept.", status=status)


def _asked_wait(headers: Mapping[str, str]) -> dict[str, float]:
    value = headers.get("retry-after", "")
    if value.isdecimal():
        return {"retry_after_s": min(float(value), 300.0)}
    try:
        return {"retry_after_s": min(max(0.0, (parsedate_to_datetime(value) - utc_now()).total_seconds()), 300.0)}
    except (ValueError, TypeError):
        return {}


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


KIND = NodeKind(
    name="http.request",
    summary="Sends an HTTP request and keeps the answer.",
    config_schema={
        "type": "object",
        "required": ["url"],
        "additionalProperties": False,
        "properties": {
            "url": {
                "type": "string",
                "minLength": 1,
                "maxLength": 8000,
                "description": "With scheme and host; a path alone asks our own dashboard.",
            },
            "method": {"enum": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"], "default": "GET"},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "query": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            "json": {"description": "Sent as JSON."},
            "body": {"type": "string", "description": "Sent as it is."},
            "expect_status": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "follow_redirects": {"type": "boolean", "default": False},
            "max_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_BODY_BYTES},
        },
    },
    transport=Transport.INLINE,
    idempotence=Idempotence.RETRY_SAFE,
    run=_run,
    cacheable=True,
    docs="""Puts out `status`, `url`, `headers`, `bytes`, `duration_s`, `json` (parsed, when the answer says it is JSON)
and `text` (when it is text). A status of 400 or more fails the node; 429 and 500 or more are tried again, after what
`Retry-After` asks for. A request that changes something carries `Idempotency-Key`, the same on every attempt. Addresses
in private networks are refused unless `HELMSIGHT_WORKER__HTTP_ALLOW_PRIVATE` is set.

```yaml
- id: fetch
  kind: http.request
  timeout: 10s
  config:
    url: "https://example.com/items/{{ params.id }}"
    query: {full: true}
```
""",
)
