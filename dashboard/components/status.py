"""The words, icons and colours of states, the same on every page; a state is never told by colour alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Colour = Literal["green", "blue", "orange", "red", "gray", "violet", "yellow"]


@dataclass(frozen=True, slots=True)
class Look:
    """How one state reads."""

    word: str
    icon: str
    colour: Colour

    @property
    def badge(self) -> str:
        """Return the state as an inline badge of Streamlit's Markdown."""
        return f":{self.colour}-badge[{self.icon} {self.word}]"

    @property
    def text(self) -> str:
        """Return the state as coloured words, for labels that have their own icon."""
        return f":{self.colour}[{self.word}]"


UNKNOWN = Look("Unknown", ":material/help:", "gray")

KPI_LOOKS: Mapping[str, Look] = {
    "on_target": Look("On target", ":material/check_circle:", "green"),
    "good": Look("Good", ":material/thumb_up:", "blue"),
    "warning": Look("Warning", ":material/warning:", "orange"),
    "critical": Look("Critical", ":material/error:", "red"),
    "measured": Look("Measured", ":material/straighten:", "gray"),
    "no_data": Look("No data", ":material/help:", "gray"),
    "no_source": Look("No source", ":material/link_off:", "gray"),
}
SLO_LOOKS: Mapping[str, Look] = {
    "healthy": Look("Healthy", ":material/check_circle:", "green"),
    "at_risk": Look("At risk", ":material/trending_down:", "orange"),
    "degraded": Look("Degraded", ":material/warning:", "red"),
    "exhausted": Look("Exhausted", ":material/error:", "red"),
    "insufficient_data": Look("Too little data", ":material/hourglass_empty:", "gray"),
    "no_data": Look("No data", ":material/help:", "gray"),
}
RUN_LOOKS: Mapping[str, Look] = {
    "queued": Look("Queued", ":material/schedule:", "gray"),
    "running": Look("Running", ":material/progress_activity:", "blue"),
    "waiting": Look("Waiting", ":material/hourglass_top:", "violet"),
    "paused": Look("Paused", ":material/pause_circle:", "violet"),
    "needs_attention": Look("Needs attention", ":material/front_hand:", "orange"),
    "completed": Look("Completed", ":material/check_circle:", "green"),
    "failed": Look("Failed", ":material/error:", "red"),
    "cancelled": Look("Cancelled", ":material/cancel:", "gray"),
    "pending": Look("Pending", ":material/more_horiz:", "gray"),
    "skipped": Look("Skipped", ":material/skip_next:", "gray"),
}
AGENT_LOOKS: Mapping[str, Look] = {
    "active": Look("Active", ":material/bolt:", "green"),
    "idle": Look("Idle", ":material/bedtime:", "gray"),
    "waiting": Look("Waiting", ":material/hourglass_top:", "violet"),
    "error": Look("Error", ":material/error:", "red"),
    "offline": Look("Offline", ":material/power_off:", "gray"),
}
HEALTH_LOOKS: Mapping[str, Look] = {
    "healthy": Look("Healthy", ":material/check_circle:", "green"),
    "degraded": Look("Degraded", ":material/warning:", "orange"),
    "failing": Look("Failing", ":material/error:", "red"),
    "unsure": Look("Too few to say", ":material/hourglass_empty:", "gray"),
    "quiet": Look("Did not run", ":material/bedtime:", "gray"),
}
PART_LOOKS: Mapping[str, Look] = {
    "up": Look("Up", ":material/check_circle:", "green"),
    "down": Look("Away", ":material/cloud_off:", "red"),
    "absent": Look("Not set up", ":material/do_not_disturb_on:", "gray"),
    "degraded": Look("Degraded", ":material/warning:", "orange"),
}


def look_of(looks: Mapping[str, Look], state: object) -> Look:
    """Return how *state* reads: an enum member or its value; a state we do not know says so in its own word."""
    key = str(getattr(state, "value", state)).lower()
    return looks.get(key) or Look(key.replace("_", " ").capitalize() or UNKNOWN.word, UNKNOWN.icon, UNKNOWN.colour)
