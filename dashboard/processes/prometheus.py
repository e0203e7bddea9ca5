"""Prometheus as a child: found, configured for our own processes, asked whether it is ready."""

import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml

from analytics.core.errors import ConfigError
from analytics.core.settings import PrometheusSettings

RETENTION = timedelta(days=35)
"""A little longer than the period of the standard objectives, 30 days."""


@dataclass(frozen=True, kw_only=True)
class PrometheusServer:
    """A Prometheus that reads the dashboard's and the workers' metrics and keeps them in *root*."""

    binary: Path
    root: Path
    port: int
    dashboard: str
    """``host:port`` of the dashboard."""
    token_file: Path
    """Holds the bearer token for the dashboard's ``/metrics``."""
    targets: Path
    """Directory in which workers announce where their metrics are (``file_sd``)."""
    scrape_interval: timedelta

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write the configuration."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._config_file.write_text(yaml.safe_dump(self.configuration(), sort_keys=False), encoding="utf-8")

    def configuration(self) -> dict[str, object]:
        """Return what Prometheus is told to read, and how often."""
        interval = f"{round(self.scrape_interval.total_seconds() * 1000)}ms"
        return {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": [
                {
                    "job_name": "dashboard",
                    "metrics_path": "/metrics",
                    "authorization": {"type": "Bearer", "credentials_file": str(self.token_file)},
                    "static_configs": [{"targets": [self.dashboard]}],
                },
                {
                    "job_name": "worker",
                    "file_sd_configs": [{"files": [f"{self.targets}/*.json"], "refresh_interval": "5s"}],
                },
                {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]},
            ],
        }

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [
            str(self.binary),
            f"--config.file={self._config_file}",
            f"--storage.tsdb.path={self.root / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION.days}d",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]

    def is_ready(self) -> bool:
        """Tell whether it answers queries now."""
        return answers(f"{self.url}/-/ready")

    @property
    def _config_file(self) -> Path:
        return self.root / "prometheus.yml"


def find_prometheus(settings: PrometheusSettings) -> Path | None:
    """Return the program to run, or None when there is none.

    Raises:
        ConfigError: If the settings name a program that is not there.
    """
    if settings.binary is not None:
        found = shutil.which(str(settings.binary.expanduser()))
        if found is None:
            raise ConfigError(
                f"HELMSIGHT_PROMETHEUS__BINARY names {settings.binary}, which is not a program; nothing was started."
                " Correct or unset it."
            )
        return Path(found)
    found = shutil.which("prometheus")
    return None if found is None else Path(found)


def answers(url: str, *, timeout_s: float = 2.0) -> bool:
    """Tell whether a GET of *url* is answered with a status below 400."""
    request = urllib.request.Request(url, headers={"User-Agent": "helmsight"})  # noqa: S310 - http, our own
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return bool(response.status < 400)  # noqa: PLR2004 - the first error status
    except (urllib.error.URLError, OSError, ValueError):
        return False
