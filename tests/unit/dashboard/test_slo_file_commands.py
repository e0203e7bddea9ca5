"""`helmsight slo validate` and `rules`: files in, verdicts and rules out, without anything that runs."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from analytics.core.errors import HelmsightError, InputError
from dashboard.cli import app

SLOTH = """
version: prometheus/v1
service: shop
slos:
  - name: orders
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(orders_total{code="500"}[{{.window}}]))
        total_query: sum(rate(orders_total[{{.window}}]))
    alerting: {name: OrdersFail}
"""
NATIVE = """
slo: v1
id: checkout
title: Checkout
service: shop
target: 99.5%
indicator:
  events:
    total: sum(increase(orders_total[{window}]))
    bad: sum(increase(orders_total{code="500"}[{window}]))
"""
BAD = NATIVE.replace("target: 99.5%", "target: 99.5").replace("indicator", "indicatr")
WINDOWS = """
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 14d
  page:
    quick: {errorBudgetPercent: 4, shortWindow: 5m, longWindow: 1h}
    slow: {errorBudgetPercent: 10, shortWindow: 30m, longWindow: 6h}
  ticket:
    quick: {errorBudgetPercent: 20, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 30, shortWindow: 6h, longWindow: 3d}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("sloth.yaml", SLOTH), ("native.yml", NATIVE), ("bad.yaml", BAD), ("notes.txt", "not this")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def said(*arguments: object, code: int = 0, given: str | None = None) -> str:
    result = CliRunner().invoke(app, ["slo", *map(str, arguments)], input=given)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def refused(*arguments: object) -> HelmsightError:
    result = CliRunner().invoke(app, ["slo", *map(str, arguments)])
    assert isinstance(result.exception, HelmsightError), result.output
    return result.exception


def test_a_file_that_can_be_used_is_told_with_its_format_and_objectives(folder: Path) -> None:
    assert said("validate", folder / "sloth.yaml") == (
        f"{folder}/sloth.yaml (sloth) can be used: 1 objective, shop-orders\n"
    )


def test_every_problem_of_a_file_is_told_with_its_place(folder: Path) -> None:
    lines = said("validate", folder / "bad.yaml", code=1)
    assert "cannot be used: 3 problems" in lines
    assert "error: target: 99.5 is not a share: write '99.5%' for per cent" in lines
    assert "error: indicatr: this field is not known (did you mean 'indicator'?)" in lines


def test_a_folder_stands_for_the_files_in_it_and_one_bad_file_fails(folder: Path) -> None:
    (folder / "deeper").mkdir()
    (folder / "deeper" / "more.json").write_text(json.dumps(yaml.safe_load(NATIVE) | {"id": "more"}))
    found = json.loads(said("validate", folder, "--json", code=1))
    assert [(Path(item["source"]).name, item["valid"]) for item in found] == [
        ("bad.yaml", False),
        ("more.json", True),
        ("native.yml", True),
        ("sloth.yaml", True),
    ]


def test_a_folder_without_files_is_no_success(tmp_path: Path) -> None:
    assert "There is no YAML or JSON file" in str(refused("validate", tmp_path))


def test_what_only_strict_reading_refuses_is_a_warning_otherwise(folder: Path) -> None:
    odd = folder / "odd.yaml"
    odd.write_text(SLOTH.replace("name: orders", "name: orders\n    colour: red"), encoding="utf-8")
    assert "warning: slos[0].colour" in said("validate", odd)
    assert "error: slos[0].colour" in said("validate", odd, "--strict", code=1)


def test_rules_are_yaml_on_standard_output_from_standard_input(folder: Path) -> None:
    names = [group["name"] for group in yaml.safe_load(said("rules", "-", given=SLOTH))["groups"]]
    assert names == [f"sloth-slo-{part}-shop-orders" for part in ("sli-recordings", "meta-recordings", "alerts")]


def test_parts_of_the_rules_can_be_left_out_and_labels_added(folder: Path) -> None:
    file = folder / "sloth.yaml"
    [alerts] = yaml.safe_load(said("rules", file, "--no-recordings"))["groups"]
    assert {rule["alert"] for rule in alerts["rules"]} == {"OrdersFail"}
    text = said("rules", file, "--no-alerts", "--extra-label", "env=prod", "--extra-label", "query=a=b")
    recorded = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    assert all(rule["labels"]["env"] == "prod" and rule["labels"]["query"] == "a=b" for rule in recorded)
    assert not any("alert" in rule for rule in recorded)


def test_rules_of_another_period_take_its_windows(folder: Path) -> None:
    assert "ratio_rate4w" in said("rules", folder / "sloth.yaml", "--period", "28d")
    unknown = refused("rules", folder / "sloth.yaml", "--period", "14d")
    assert "a period of 2w; there are for 30d, 4w, 1w" in str(unknown)
    windows = folder / "windows"
    windows.mkdir()
    (windows / "14d.yaml").write_text(WINDOWS, encoding="utf-8")
    text = said("rules", folder / "sloth.yaml", "--period", "14d", "--windows-dir", windows)
    # 4 % of 14 days in one hour.
    assert "> (13.44 *" in text


def test_no_rules_are_made_of_a_file_with_problems(folder: Path) -> None:
    message = str(refused("rules", folder / "bad.yaml"))
    assert f"{folder}/bad.yaml: indicatr: this field is not known" in message


@pytest.mark.parametrize("label", ["env", "=prod"])
def test_a_label_without_name_or_value_is_refused(folder: Path, label: str) -> None:
    assert isinstance(refused("rules", folder / "sloth.yaml", "--extra-label", label), InputError)


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not text in UTF-8" in str(refused("validate", folder / "binary.yaml"))


@pytest.mark.parametrize("pair", ["page", "page:1h:2", "page:1h/5m:fast", "page:1h/5m:-2", "page:1h/5m"])
def test_a_pair_that_is_none_is_refused(pair: str) -> None:
    assert isinstance(refused("backtest", "checkout", "--pair", pair), InputError)
