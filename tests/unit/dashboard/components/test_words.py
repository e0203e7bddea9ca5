"""Word boxes: bands of confidence, and the data the browser gets."""

import pytest

from dashboard.components.words import band, boxes


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [(None, "doubtful"), (59.9, "doubtful"), (60.0, "fair"), (89.9, "fair"), (90.0, "sure"), (100.0, "sure")],
)
def test_confidence_falls_into_three_bands(confidence, expected):
    assert band(confidence) == expected


def test_the_threshold_of_the_reading_decides_what_is_doubtful():
    assert band(70.0, 75.0) == "doubtful"


def test_boxes_keep_pixels_and_text():
    word = {"text": "Größe", "confidence": 91.234, "x": 1, "y": 2, "w": 3, "h": 4, "line": 0, "block": 0}
    assert boxes([word]) == [{"text": "Größe", "confidence": 91.2, "band": "sure", "box": [1.0, 2.0, 3.0, 4.0]}]
