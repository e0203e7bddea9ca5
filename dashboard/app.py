"""The composition root of the dashboard: settings → connections → one ASGI application with pages, routes and sockets.

Importing this module connects to nothing and reads no setting; that happens when the application starts.
"""

import asyncio
import contextlib
import gc
import importlib
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
import structlog
import uvicorn
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from analytics.core.errors import ConfigError, HelmsightError
from analytics.core.logging import configure_logging, correlated, correlation_id, get_logger
from analytics.core.settings import Settings
from dashboard.api import hooks, plain, table
from dashboard.api.health import close_health
from dashboard.api.problems import answer_helmsight_error, answer_http_exception, answer_unexpected
from dashboard.auth import login
from dashboard.context import AppContext, build_context, get_context, set_context
from dashboard.links import DEFAULT_PAGE, PAGES
from dashboard.live import sockets
from dashboard.mcp_server import transport as mcp_server
from dashboard.middleware.bodies import BodyLimitMiddleware
from dashboard.middleware.bundles import BundlesMiddleware, installed_bundles
from dashboard.middleware.cors import ListedOriginsMiddleware
from dashboard.middleware.gate import KnownPathsMiddleware, SchemaGateMiddleware
from dashboard.middleware.groups import prepare_metrics
from dashboard.middleware.headers import HeadersMiddleware
from dashboard.middleware.identity import IdentityMiddleware
from dashboard.middleware.requests import RequestMiddleware
from dashboard.sampling import keep_sampling
from dashboard.streamlit_options import adopt_loggers, apply_options
from dashboard.warming import warm

SCRIPT = Path(__file__).parent / "main.py"
_FIRST_CHECK_S = 8.0
_SHUTDOWN_S = 8
_PING_S = 30.0
_BACKLOG = 2048
_WARM = ("pandas", "pyarrow", "streamlit.elements.arrow", "streamlit.elements.metric", "dashboard.data")
"""Modules that pages need at once; the first visitor does not wait for them."""

_log = get_logger(__name__)
_paths = frozenset({"/", *(f"/{page.key}" for page in PAGES if page.key != DEFAULT_PAGE)})


def is_page(path: str) -> bool:
    """Tell whether *path* is the address of one of the pages."""
    return path in _paths


class HelmsightApp(st.App):
    """Streamlit's application with our routes, middleware and lifespan."""

    def __init__(self, script: Path = SCRIPT) -> None:
        super().__init__(
            str(script),
            lifespan=lifespan,
            routes=routes(),
            middleware=middleware(),
            on_script_error=on_script_error,
            exception_handlers={
                HelmsightError: answer_helmsight_error,
                HTTPException: answer_http_exception,
                Exception: answer_unexpected,
            },
        )
        self._is_prepared = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; the first call reads the settings, before Streamlit builds what depends on its options."""
        if not self._is_prepared:
            settings = get_context().settings
            if not structlog.is_configured():
                _log_as(settings)
            apply_options(settings)
            self._is_prepared = True
        await super().__call__(scope, receive, send)


def routes() -> list[BaseRoute]:
    """Return every route of ours; Streamlit's come after them."""
    return [
        *plain.routes(),
        *login.routes(),
        *table.routes(),
        *mcp_server.routes(),
        *hooks.routes(),
        *sockets.routes(),
        *plain.last_routes(),
    ]


def middleware() -> list[Middleware]:
    """Return what requests pass through, outermost first."""
    return [
        Middleware(RequestMiddleware, is_page=is_page),
        Middleware(HeadersMiddleware),
        Middleware(ListedOriginsMiddleware, origins=lambda: get_context().settings.http.allowed_origins),
        Middleware(BodyLimitMiddleware, max_upload_bytes=lambda: get_context().settings.http.max_upload_bytes),
        Middleware(SchemaGateMiddleware),
        Middleware(IdentityMiddleware, is_page=is_page),
        Middleware(KnownPathsMiddleware, is_page=is_page),
        Middleware(BundlesMiddleware, bundles=installed_bundles(), is_page=is_page),
    ]


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Start what runs beside the requests, warm up, freeze the heap; stop it all again."""
    context = get_context()
    prepare_metrics()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(to_thread.run_sync(context.schema.check, abandon_on_cancel=True), _FIRST_CHECK_S)
    await to_thread.run_sync(_import_ahead)
    adopt_loggers()
    stopping = threading.Event()
    packing = threading.Thread(
        target=installed_bundles().warm, args=(stopping.is_set,), name="pack-bundles", daemon=True
    )
    packing.start()
    warming = threading.Thread(target=warm, args=(context, stopping), name="warm-caches", daemon=True)
    warming.start()
    tasks = [
        asyncio.create_task(context.schema.watch(), name="schema-watch"),
        asyncio.create_task(keep_sampling(context), name="sampling"),
    ]
    gc.collect()
    gc.freeze()
    _log.info("dashboard_started", schema=context.schema.state.value)
    try:
        yield
    finally:
        stopping.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sockets.hub.close()
        await mcp_server.door.close()
        close_health(context)
        await context.close_async()
        _log.info("dashboard_stopped")


def on_script_error(error: Exception) -> bool:
    """Log what a page did not foresee, and show a sentence instead of a traceback.

    Returns:
        True: the error is shown; Streamlit adds nothing.
    """
    with correlated(correlation_id()) as correlation:
        _log.error("page_broke", exc_info=error)
        st.error(
            "This part of the page could not be drawn; nothing was changed. Reload the page, and if it stays, tell the"
            f" administrator this id: `{correlation}`",
            icon=":material/error:",
        )
    return True


def serve(settings: Settings, *, script: Path = SCRIPT) -> None:
    """Serve pages, routes and sockets on the address of *settings* until SIGTERM or SIGINT.

    Raises:
        ConfigError: If the settings cannot be used, or the port is taken; nothing was started.
    """
    _log_as(settings)
    context = build_context(settings)
    set_context(context)
    is_proxied = settings.http.public_url is not None
    config = uvicorn.Config(
        app if script == SCRIPT else HelmsightApp(script),
        host=settings.http.host,
        port=settings.http.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_max_size=settings.http.max_upload_bytes,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=is_proxied,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    with _listen(settings) as listener:
        _log.info("dashboard_listens", address="{}:{}".format(*listener.getsockname()[:2]))
        uvicorn.Server(config).run(sockets=[listener])
    _forget(context)


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.http.host, settings.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Nothing can listen on {host}:{port} ({error.strerror}); nothing was started. Stop the other program, or"
            " set HELMSIGHT_HTTP__HOST or HELMSIGHT_HTTP__PORT."
        ) from error
    return listener


def _log_as(settings: Settings) -> None:
    configure_logging(level=settings.log.level, json=settings.log.format == "json", part="dashboard")


def _import_ahead() -> None:
    for name in _WARM:
        importlib.import_module(name)


def _forget(context: AppContext) -> None:
    context.close()
    set_context(None)


app = HelmsightApp()
