"""How the parts of the installation are: a strip of badges, and a table with what each says."""

import streamlit as st

from analytics.core.clock import utc_now
from dashboard import formats
from dashboard.api.health import Health, PartHealth
from dashboard.components import tables
from dashboard.components.states import part_name
from dashboard.components.status import PART_LOOKS, look_of
from dashboard.components.tables import Column


def title_of(part: PartHealth) -> str:
    """Return what people call *part*."""
    name = part_name(part.name)
    return name if name != part.name else part.name.replace("_", " ").capitalize()


_COLUMNS: list[Column[PartHealth]] = [
    Column("Part", title_of),
    Column("State", lambda part: look_of(PART_LOOKS, part.status), "state"),
    Column("Since", lambda part: part.since, "moment"),
    Column("Answered in", lambda part: None if part.latency_ms is None else f"{part.latency_ms:.0f} ms"),
    Column("Detail", lambda part: part.detail, width="large"),
]


def parts_strip(health: Health) -> None:
    """Draw the parts in one line, those that are away first and with the reason."""
    order = {"down": 0, "degraded": 1, "up": 2, "absent": 3}
    parts = sorted(health.parts, key=lambda part: order.get(str(part.status), 1))
    badges = []
    for part in parts:
        look = look_of(PART_LOOKS, part.status)
        word = title_of(part) if str(part.status) == "up" else f"{title_of(part)}: {look.word.lower()}"
        badges.append(f":{look.colour}-badge[{look.icon} {word}]")
    st.markdown(" ".join(badges))
    away = {part.name for part in parts if str(part.status) == "down"}
    for part in parts:
        # Without PostgreSQL nothing is known of the others, and the page says so above.
        if part.name in away and "postgres" not in away:
            st.caption(
                f"**{title_of(part)}** ({formats.age(part.since, now=utc_now())}): {formats.escaped(part.detail)}"
            )


def parts_table(health: Health) -> None:
    """Draw the parts with what each says."""
    tables.table(
        list(health.parts), _COLUMNS, alt="The parts of this installation", key="health.parts", height="content"
    )
