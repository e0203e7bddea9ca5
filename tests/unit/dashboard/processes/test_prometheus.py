import http.server
import shutil
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from analytics.core.errors import ConfigError
from analytics.core.settings import PrometheusSettings
from dashboard.processes.prometheus import PrometheusServer, answers, find_prometheus


@pytest.fixture
def server(tmp_path):
    (tmp_path / "token").write_text("xyzzy")
    return PrometheusServer(
        binary=Path("/usr/bin/prometheus"),
        root=tmp_path / "prometheus",
        port=19090,
        dashboard="127.0.0.1:8501",
        token_file=tmp_path / "token",
        targets=tmp_path / "targets",
        scrape_interval=timedelta(seconds=2.5),
    )


def test_the_configuration_reads_the_dashboard_with_its_token_and_every_worker(server, tmp_path):
    jobs = {job["job_name"]: job for job in server.configuration()["scrape_configs"]}
    assert jobs["dashboard"]["authorization"] == {"type": "Bearer", "credentials_file": str(tmp_path / "token")}
    assert jobs["dashboard"]["static_configs"] == [{"targets": ["127.0.0.1:8501"]}]
    assert jobs["worker"]["file_sd_configs"][0]["files"] == [f"{tmp_path}/targets/*.json"]
    assert server.configuration()["global"]["scrape_interval"] == "2500ms"


def test_the_secret_itself_is_not_in_the_configuration(server):
    server.prepare()
    assert "xyzzy" not in (server.root / "prometheus.yml").read_text()


@pytest.mark.prometheus
def test_prometheus_accepts_the_configuration(server):
    if shutil.which("promtool") is None:
        pytest.skip("no promtool program")
    server.prepare()
    checked = subprocess.run(
        ["promtool", "check", "config", server.root / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_program_that_is_named_and_missing_names_the_setting():
    with pytest.raises(ConfigError, match="HELMSIGHT_PROMETHEUS__BINARY"):
        find_prometheus(PrometheusSettings(binary=Path("/no/such/prometheus")))


def test_no_program_at_all_is_an_absence_and_not_an_error(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_prometheus(PrometheusSettings()) is None


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_only_an_answer_without_an_error_counts(status, expected):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.handle_request)
        thread.start()
        assert answers(f"http://127.0.0.1:{site.server_port}/") is expected
        thread.join()


def test_nobody_there_is_no_answer():
    assert not answers("http://127.0.0.1:1/")
