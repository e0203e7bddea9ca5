"""What happened, as marks on charts of the page Analytics."""

from collections.abc import Sequence

from analytics.store.queries.annotations import AnnotationRow
from dashboard.components.charts import Mark

_MOST_LABELS = 3
_LONGEST_LABEL = 28


def marks_of(happened: Sequence[AnnotationRow] | None) -> list[Mark]:
    """Return deployments and incidents; the newest deployments have a label, as long as there is room."""
    deployments = [item for item in happened or () if item.kind == "deploy"]
    labelled = {item.id for item in deployments} if len(deployments) <= _MOST_LABELS else set()
    marks = []
    for item in happened or ():
        if item.kind == "note":
            continue
        title = item.title if len(item.title) <= _LONGEST_LABEL else f"{item.title[: _LONGEST_LABEL - 1]}…"
        tone = "critical" if item.kind == "incident" else "note"
        marks.append(Mark(item.at, title if item.id in labelled else "", item.until, tone))  # type: ignore[arg-type]
    return marks
