"""Serve the same application with Streamlit's defaults, for comparison; started by ``benchmarks.pages`` only.

What differs from the shipped one: the heap is not frozen, Streamlit collects garbage after each run, reads magic
expressions, watches files, and sends its bundles as they are. Pages, data, sign-in and checks are the same.
"""

import gc
from typing import Any

from starlette.types import Receive, Scope, Send
from streamlit import config

from analytics.core.settings import load_settings
from dashboard import app, streamlit_options
from dashboard.middleware.bundles import BundlesMiddleware

_NEEDED = (
    "server.trustedUserHeaders",
    "server.headless",
    "server.disconnectedSessionTTL",
    "browser.gatherUsageStats",
    "logger.hideWelcomeMessage",
    "client.showErrorDetails",
)
"""Options without which the application could not run as a server or would call other hosts."""
_CHANGED = ("server.fileWatcherType", "runner.magicEnabled", "runner.postScriptGC", "server.runOnSave")


def main() -> None:
    """Serve until told to stop."""
    shipped = streamlit_options.fixed_options()
    defaults = {name: _default_of(name) for name in _CHANGED}
    options: dict[str, Any] = {name: shipped[name] for name in _NEEDED if name in shipped} | defaults
    streamlit_options.fixed_options = lambda: options
    gc.freeze = lambda: None
    BundlesMiddleware.__call__ = _pass_on  # type: ignore[method-assign]
    app.serve(load_settings())


def _default_of(name: str) -> Any:
    return config._config_options_template[name].default_val  # noqa: SLF001 - there is no public way to ask


async def _pass_on(self: BundlesMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
    await self._app(scope, receive, send)


if __name__ == "__main__":
    main()
