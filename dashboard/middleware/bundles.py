"""Streamlit's scripts and styles, compressed once and kept in memory, and the page they start from.

Streamlit serves its bundles uncompressed: 5.5 MB for a first page. Names carry a hash of the content, so browsers may
keep them for a year.
"""

import gzip
import hashlib
import mimetypes
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import file_util

ASSETS = Path(__file__).parent.parent / "assets"
_GRAPH = Path(__file__).parent.parent / "components" / "graph" / "assets"
_GRAPH_URL = "/_stcore/bidi-components/helmsight.graph/"
_SOURCE_URL = "/_stcore/bidi-components/helmsight.source/"
_FOREVER = "public, max-age=31536000, immutable"
_DAY = "public, max-age=86400"
_COMPRESSED = frozenset({".js", ".css", ".svg", ".json", ".wasm", ".map", ".html", ".txt", ".ttf"})
_LEVEL = 8
_MIN_BYTES = 600
_REFERENCE = re.compile(r'(?:src|href)="\./(static/(?:js|css)/[^"]+)"')

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".svg": "image/svg+xml"}

_BOOT = """<style>
html { background: #fff; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { html { background: #0f1621; } }
.hs-boot { display: grid; place-items: center; height: 100vh; }
.hs-boot img { width: 44px; height: 44px; animation: hs-boot 1.6s ease-in-out infinite; }
@keyframes hs-boot { 50% { opacity: .35; } }
@media (prefers-reduced-motion: reduce) { .hs-boot img { animation: none; } }
[data-testid="stMultiSelectTagsContainer"] [data-tag] { background: #0b5cad !important; color: #fff !important; }
</style>"""
"""The last rule keeps what was chosen readable in the dark, where our accent is too light for white text on it."""
_OURS = '<script src="/assets/loaded.js" defer></script><script src="/assets/mend.js" defer></script>'
_WAIT = '<div class="hs-boot" role="status"><img src="/assets/favicon.svg" alt="Helmsight is loading"></div>'


@dataclass(frozen=True, slots=True)
class Bundle:
    """One file as it goes out."""

    body: bytes
    media_type: str
    etag: str
    is_gzip: bool


class Bundles:
    """Compressed files by their path in URLs, made when first asked for."""

    def __init__(self, static_root: Path, assets: Path = ASSETS) -> None:
        self._files = _files(static_root / "static", "/static/") | _files(assets, "/assets/") | _component_files()
        self._made: dict[str, Bundle] = {}
        self._lock = threading.Lock()
        index = static_root / "index.html"
        self.shell = _shell(index.read_text(encoding="utf-8"))
        self.first = tuple(f"/{address}" for address in dict.fromkeys(_REFERENCE.findall(self.shell)))
        """Addresses that every page loads first, in order."""

    def has(self, path: str) -> bool:
        """Tell whether *path* is one of the files that go out compressed."""
        return path in self._files

    def made(self, path: str) -> Bundle | None:
        """Return the file at *path* if it is already compressed."""
        return self._made.get(path)

    def get(self, path: str) -> Bundle:
        """Return the file at *path*, compressed now if it has not been."""
        found = self._made.get(path)
        if found is None:
            found = _bundle(self._files[path])
            with self._lock:
                self._made[path] = found
        return found

    def warm(self, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Compress everything, what every page needs first; return how many files."""
        for n, path in enumerate(dict.fromkeys((*self.first, *self._files))):
            if should_stop():
                return n
            if path in self._files:
                self.get(path)
        return len(self._files)


class BundlesMiddleware:
    """Answers requests for bundles and for the page they start from; everything else passes."""

    def __init__(self, app: ASGIApp, *, bundles: Bundles, is_page: Callable[[str], bool]) -> None:
        self._app = app
        self._bundles = bundles
        self._is_page = is_page
        self._shell = bundles.shell.encode()
        self._shell_gzip = gzip.compress(self._shell, 9, mtime=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        takes_gzip = "gzip" in headers.get("accept-encoding", "")
        if self._is_page(path):
            await self._answer_shell(takes_gzip=takes_gzip)(scope, receive, send)
        elif self._bundles.has(path) and (takes_gzip or path.startswith("/assets/")):
            bundle = self._bundles.made(path)
            if bundle is None:
                bundle = await to_thread.run_sync(self._bundles.get, path)
            await _answer(path, bundle, headers, takes_gzip=takes_gzip)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _answer_shell(self, *, takes_gzip: bool) -> Response:
        headers = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
        if takes_gzip:
            headers["Content-Encoding"] = "gzip"
        return Response(self._shell_gzip if takes_gzip else self._shell, headers=headers, media_type="text/html")


def _answer(path: str, bundle: Bundle, asked: Headers, *, takes_gzip: bool) -> Response:
    headers = {
        "Cache-Control": _FOREVER if path.startswith(("/static/", _GRAPH_URL)) else _DAY,
        "Vary": "Accept-Encoding",
        "ETag": bundle.etag,
    }
    if asked.get("if-none-match") == bundle.etag:
        return Response(status_code=304, headers=headers)
    body = bundle.body
    if bundle.is_gzip and takes_gzip:
        headers["Content-Encoding"] = "gzip"
    elif bundle.is_gzip:
        body = gzip.decompress(body)
    return Response(body, headers=headers, media_type=bundle.media_type)


def _bundle(path: Path) -> Bundle:
    content = path.read_bytes()
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if path.suffix in _COMPRESSED and len(content) >= _MIN_BYTES:
        packed = gzip.compress(content, _LEVEL, mtime=0)
        if len(packed) < len(content):
            return Bundle(packed, media_type, etag, is_gzip=True)
    return Bundle(content, media_type, etag, is_gzip=False)


def _component_files() -> dict[str, Path]:
    """Return the bundles of our two components, each below the address that Streamlit gives it."""
    graph, source = _files(_GRAPH, _GRAPH_URL), _files(_GRAPH, _SOURCE_URL)
    own = {address: path for address, path in source.items() if path.name.startswith("source-")}
    return {address: path for address, path in graph.items() if not path.name.startswith("source-")} | own


def _files(root: Path, prefix: str) -> dict[str, Path]:
    return {
        prefix + path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and (path.suffix in _COMPRESSED or prefix == "/assets/")
    }


def _shell(html: str) -> str:
    """Return Streamlit's start page as ours: our name and icon, a quiet first paint, nothing our policy would block."""
    html = re.sub(r"<!--.*?-->\s*", "", html, flags=re.DOTALL)
    html = re.sub(r"<script>\s*window\.prerenderReady.*?</script>\s*", "", html, flags=re.DOTALL)
    html = re.sub(r'<link rel="service-desc"[^>]*/>\s*', "", html)
    html = re.sub(r'<link rel="shortcut icon"[^>]*/>', '<link rel="icon" href="/assets/favicon.svg" />', html)
    html = re.sub(r"<title>.*?</title>", "<title>Helmsight</title>", html)
    html = re.sub(
        r"<noscript>.*?</noscript>",
        "<noscript><p>These pages need JavaScript. The same numbers are at /api/v1/openapi.json.</p></noscript>",
        html,
        flags=re.DOTALL,
    )
    html = html.replace("</head>", f"{_BOOT}{_OURS}</head>")
    return html.replace('<div id="root"></div>', f'<div id="root">{_WAIT}</div>')


@cache
def installed_bundles() -> Bundles:
    """Return the bundles of the Streamlit that is installed."""
    return Bundles(Path(file_util.get_static_dir()))
