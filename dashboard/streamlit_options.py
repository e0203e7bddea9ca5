"""Streamlit's options, set in code: under a plain ASGI server Streamlit does not read its environment variables."""

import logging
from typing import Any

from streamlit import config

from analytics.core.settings import Settings
from dashboard.auth.viewer import TRUSTED_HEADERS
from dashboard.processes.home import Home
from dashboard.processes.servers import secret_file

MIB = 2**20
_WHERE = "Helmsight's settings"
_KEEP_DISCONNECTED_S = 120
_NEVER = 2**31
"""Bytes: no message is replaced by a reference to one that the browser had when it asked.

A run that ends meanwhile may make the browser forget it; then it closes the page for good.
"""


def fixed_options() -> dict[str, Any]:
    """Return the options that do not depend on settings."""
    return {
        "global.developmentMode": False,
        "global.minCachedMessageSize": _NEVER,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.allowRunOnSave": False,
        "server.enableStaticServing": False,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.disconnectedSessionTTL": _KEEP_DISCONNECTED_S,
        "server.trustedUserHeaders": dict(TRUSTED_HEADERS),
        "server.enableAgentApi": False,
        "server.showEmailPrompt": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        "client.allowedOrigins": [],
        "runner.magicEnabled": False,
        "runner.postScriptGC": False,
        "logger.hideWelcomeMessage": True,
    }


def options_of(settings: Settings) -> dict[str, Any]:
    """Return every option that Helmsight sets."""
    return {
        **fixed_options(),
        "server.address": settings.http.host,
        "server.maxUploadSize": -(-settings.http.max_upload_bytes // MIB),
        "server.corsAllowedOrigins": list(settings.http.allowed_origins),
        "server.cookieSecret": cookie_secret(settings),
    }


def apply_options(settings: Settings) -> None:
    """Set every option; call before the application is built."""
    for name, value in options_of(settings).items():
        config.set_option(name, value, _WHERE)


def adopt_loggers() -> None:
    """Send what Streamlit and uvicorn log through our handler; Streamlit gives each logger a handler of its own."""
    for logger in list(logging.root.manager.loggerDict.values()):
        handler = getattr(logger, "streamlit_console_handler", None)
        if isinstance(logger, logging.Logger) and handler is not None:
            logger.removeHandler(handler)
            logger.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


def cookie_secret(settings: Settings) -> str:
    """Return what signs cookies and short-lived tokens: the setting, or a secret made once and kept in the home."""
    if settings.auth.cookie_secret is not None:
        return settings.auth.cookie_secret.get_secret_value()
    return secret_file(Home(settings.home).secrets / "cookie-secret")


def metrics_token(settings: Settings) -> str:
    """Return what a scraper must show: the setting, or a secret made once and kept in the home."""
    if settings.metrics.token is not None:
        return settings.metrics.token.get_secret_value()
    return secret_file(Home(settings.home).secrets / "metrics-token")
