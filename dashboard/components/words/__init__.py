"""A page image with a box around each word, coloured by confidence; zoomed and moved by mouse, touch or keys."""

import base64
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

_FOLDER = Path(__file__).parent
SURE, UNSURE = 90.0, 60.0
"""Confidence, 0 to 100, from which a word counts as sure, and below which it counts as doubtful."""


def band(confidence: float | None, threshold: float = UNSURE) -> str:
    """Return ``sure``, ``fair`` or ``doubtful``; a word without confidence is doubtful."""
    if confidence is None or confidence < threshold:
        return "doubtful"
    return "sure" if confidence >= SURE else "fair"


def boxes(words: Sequence[Mapping[str, Any]], threshold: float = UNSURE) -> list[dict[str, Any]]:
    """Return what the browser needs of *words*: text, confidence, band, and a box in pixels of the page."""
    return [
        {
            "text": str(word["text"]),
            "confidence": None if word.get("confidence") is None else round(float(word["confidence"]), 1),
            "band": band(word.get("confidence"), threshold),
            "box": [float(word["x"]), float(word["y"]), float(word["w"]), float(word["h"])],
        }
        for word in words
    ]


def word_image(
    image: bytes,
    media_type: str,
    *,
    width: int,
    height: int,
    words: Sequence[Mapping[str, Any]],
    label: str,
    key: str,
    threshold: float = UNSURE,
    view_height: int = 620,
) -> None:
    """Draw *image* with *words* over it.

    Args:
        image: The page as a browser can show it; any resolution.
        media_type: Of *image*.
        width: Of the page in pixels, the unit of the boxes.
        height: The same.
        words: ``text, confidence, x, y, w, h`` of each.
        label: What the picture is, for those who do not see it.
        key: The same for the same page on every run; keeps the zoom.
        threshold: Confidence below which a word counts as doubtful.
        view_height: Of the window onto the page, in pixels of the screen.
    """
    source = f"data:{media_type};base64,{base64.b64encode(image).decode('ascii')}"
    _renderer()(
        key=key,
        data={
            "source": source,
            "width": width,
            "height": height,
            "viewHeight": view_height,
            "label": label,
            "words": boxes(words, threshold),
        },
    )


@functools.cache
def _renderer() -> ComponentRenderer:
    return st.components.v2.component(
        "helmsight_words",
        html=(_FOLDER / "words.html").read_text(encoding="utf-8"),
        css=(_FOLDER / "words.css").read_text(encoding="utf-8"),
        js=(_FOLDER / "words.js").read_text(encoding="utf-8"),
    )
