"""What the host says of itself."""

from pathlib import Path

from prometheus_client import REGISTRY

from analytics.sources.system import sample_system


def test_every_share_is_between_zero_and_one(tmp_path: Path) -> None:
    shares = [item for item in sample_system(tmp_path) if item.unit == "ratio"]
    assert {item.name for item in shares} == {"system_cpu_ratio", "system_memory_ratio", "system_disk_ratio"}
    assert all(0 <= item.value <= 1 for item in shares)


def test_a_home_that_is_not_there_yet_is_measured_by_the_disk_it_will_be_on(tmp_path: Path) -> None:
    found = {item.name for item in sample_system(tmp_path / "not" / "yet")}
    assert "system_disk_bytes" in found


def test_what_was_measured_stands_on_the_metrics_page(tmp_path: Path) -> None:
    measured = {item.name: item.value for item in sample_system(tmp_path)}
    assert REGISTRY.get_sample_value("helmsight_system_processes") == measured["system_processes"]
    assert measured["system_processes"] > 0
    assert measured["system_uptime_s"] > 0
