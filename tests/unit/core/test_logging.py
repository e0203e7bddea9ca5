import io
import json
import logging

import pytest

from analytics.core.logging import configure_logging, correlated, correlation_id, get_logger, mask_secrets


@pytest.fixture
def log():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging(level="INFO", json=True, part="test")
    sink = io.StringIO()
    root.handlers[0].setStream(sink)
    yield lambda: [json.loads(line) for line in sink.getvalue().splitlines()]
    root.handlers[:], root.level = before


def test_a_line_is_one_json_object_with_time_level_part_and_correlation(log):
    with correlated("click-1"):
        get_logger("here").info("run_queued", run_id="r1")
    [line] = log()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "run_queued",
        "run_id": "r1",
        "level": "info",
        "part": "test",
        "correlation_id": "click-1",
    }


def test_lines_of_other_libraries_carry_the_same_fields(log):
    with correlated("click-2"):
        logging.getLogger("library").warning("slow: %s", "query")
    [line] = log()
    assert (line["event"], line["part"], line["correlation_id"]) == ("slow: query", "test", "click-2")


@pytest.mark.parametrize("key", ["password", "api_token", "Authorization", "dsn", "cookie_secret"])
def test_secrets_are_masked_by_name(key):
    assert mask_secrets(None, "", {key: "hunter2"}) == {key: "***"}


def test_a_password_in_a_url_is_masked():
    masked = mask_secrets(None, "", {"event": "connecting to postgresql://me:hunter2@db/x"})
    assert masked == {"event": "connecting to postgresql://me:***@db/x"}


@pytest.mark.parametrize("hostile", ["a\nb", "x" * 200, "", '"}{"'])
def test_a_malformed_correlation_id_is_replaced(hostile):
    with correlated(hostile) as bound:
        assert bound != hostile
        assert correlation_id() == bound
    assert correlation_id() is None
