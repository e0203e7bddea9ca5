"""The report of a period as one HTML file: no script, nothing fetched, readable in print, on light and on dark."""

from collections.abc import Iterator, Sequence
from html import escape

from analytics.slo import document_words as words
from analytics.slo.evaluate import SloStatus
from analytics.slo.period_report import Line, PeriodReport

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1f29; --soft: #5a6372; --line: #d9dde4; --back: #fff; --card: #f5f6f8;
  --good: #1a7f4b; --bad: #c22f2f; --none: #aeb6c2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --soft: #a2abb9; --line: #353c48; --back: #12151b;
  --card: #1c2129; --good: #4cc38a; --bad: #ff7b72; --none: #5a6372; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; }
p { margin: 4px 0; } .soft, small { color: var(--soft); } small { display: block; font-size: 12.5px; }
.note { border-left: 3px solid var(--none); padding: 4px 12px; margin: 12px 0; background: var(--card); }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px;
  min-width: 150px; flex: 1; }
.tiles b { display: block; font-size: 26px; line-height: 1.2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 760px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 8px 12px 8px 0; border-bottom: 1px solid var(--line); }
th { font-size: 12.5px; color: var(--soft); font-weight: 600; white-space: nowrap; }
th[scope=row] { font-size: inherit; color: inherit; white-space: normal; } th small { font-weight: 400; }
td.n, th.n { text-align: right; white-space: nowrap; } td.n svg { margin-left: auto; }
.scroll td:first-child { min-width: 10em; }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
svg { display: block; margin-top: 4px; } .g { fill: var(--good); } .b { fill: var(--bad); } .u { fill: var(--none); }
.bar { fill: var(--line); }
@media print { main { padding: 0; } .scroll { overflow: visible; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } }
"""
_CELL, _GAP, _HEIGHT, _BAR = 6, 1, 14, 90
_HEIGHTS = {"g": 9, "b": _HEIGHT, "u": 2}
"""Of cells that met, missed, and were not measured: told apart without colour, too."""


def html_document(report: PeriodReport) -> str:
    """Return *report* as a whole HTML document."""
    return "\n".join(_document(report)) + "\n"


def _document(report: PeriodReport) -> Iterator[str]:
    title = f"Service level report, {words.span_text(report.interval, report.zone)}"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>Service level report</h1>\n<p>{escape(words.period_text(report))}</p>"
    yield f'<p class="soft">Made {escape(words.moment_text(report.made_at, report.zone))} by Helmsight.</p>'
    yield from (f'<p class="note">{escape(note)}</p>' for note in words.notes_of(report))
    yield f"<p>{escape(words.headline(report))}</p>"
    yield from _tiles(report)
    yield "<h2>Objectives</h2>"
    yield from _objectives(report)
    yield "<h2>What cost most</h2>"
    costly = [words.costly_row(item, report.zone) for item in report.incidents]
    yield from _table(words.COSTLY_HEAD, costly, nothing=words.NOTHING_COSTLY)
    yield "<h2>Corrections in force</h2>"
    taken_out = [words.correction_row(item) for item in report.corrections]
    yield from _table(words.CORRECTION_HEAD, taken_out, nothing=words.NO_CORRECTIONS)
    yield "<h2>How these numbers were made</h2>\n<ul>"
    yield from (f"<li>{escape(sentence)}</li>" for sentence in words.METHOD)
    yield "</ul>\n</main>\n</body>\n</html>"


def _tiles(report: PeriodReport) -> Iterator[str]:
    now, before = report.summary, report.summary_before
    yield '<ul class="tiles">'
    for label, count, earlier in (
        ("met", now.compliant, before.compliant),
        ("missed", now.violated, before.violated),
        ("too little known", now.unknown, before.unknown),
        ("budgets exhausted", now.budgets_exhausted, before.budgets_exhausted),
    ):
        yield f"<li><b>{count}</b>{label}<small>{earlier} the period before</small></li>"
    yield "</ul>"


def _objectives(report: PeriodReport) -> Iterator[str]:
    if not report.lines:
        yield "<p>There is no objective.</p>"
        return
    yield '<div class="scroll"><table>\n<thead><tr><th scope="col">Objective</th>'
    numbers = ("Target", "Actual", "Verdict", "Error budget", "Spent", "Left", "Coverage")
    yield "".join(f'<th scope="col" class="n">{name}</th>' for name in numbers)
    yield '<th scope="col">Alerts</th></tr></thead>\n<tbody>'
    yield from (_objective(line) for line in report.lines)
    yield "</tbody>\n</table></div>"
    yield (
        '<p class="soft">The strip below each name is the period from its start: green where the share of good'
        " events was at or above the target, red and taller where below, a grey line where nothing was measured."
        f" Changes are against the period before, {escape(words.span_text(report.before, report.zone))}.</p>"
    )


def _objective(line: Line) -> str:
    status = line.status
    objective, said = status.objective, words.verdict(status)
    actual = words.share_text(status.sli, target=objective.target)
    cells = (
        _lines(words.target_text(objective.target)),
        _lines(actual, f"{words.points_text(line.sli_change)}"),
        f'<span class="{said}">{said}</span>',
        _lines(*words.budget_parts(status)),
        f"{_lines(words.share_text(line.spent), words.before_text(line))}{_bar(line)}",
        _lines(*words.left_parts(status)),
        _lines(words.share_text(status.coverage_ratio)),
    )
    name = _lines(words.name_of(status), f"{objective.service} · {objective.id}")
    numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{name}{_strip(status)}</th>{numbers}<td>{escape(words.alerts_text(line))}</td></tr>'


def _lines(text: str, smaller: str = "") -> str:
    """Return *text* with a second, smaller line."""
    return escape(text) + (f"<small>{escape(smaller)}</small>" if smaller else "")


def _strip(status: SloStatus) -> str:
    """Return the period as a row of cells, each met, missed or not measured."""
    target = float(status.objective.target)
    kinds = ["u" if share is None else "g" if share >= target else "b" for _, share in status.series]
    cells = "".join(
        f'<rect class="{kind}" x="{place * (_CELL + _GAP)}" y="{_HEIGHT - _HEIGHTS[kind]}" width="{_CELL}"'
        f' height="{_HEIGHTS[kind]}" rx="1"/>'
        for place, kind in enumerate(kinds)
    )
    said = f"Of {len(kinds)} parts of the period {kinds.count('g')} met, {kinds.count('b')} missed the target"
    width = len(kinds) * (_CELL + _GAP)
    return f'<svg role="img" aria-label="{said}" width="{width}" height="{_HEIGHT}">{cells}</svg>' if kinds else ""


def _bar(line: Line) -> str:
    """Return what was spent as a bar; grey where too little was measured for a verdict."""
    if line.spent is None:
        return ""
    width = round(min(max(line.spent, 0.0), 1.0) * _BAR, 1)
    kind = "u" if line.status.compliant is None else "g" if line.spent < 1 else "b"
    return (
        f'<svg class="bar" aria-hidden="true" width="{_BAR}" height="5"><rect width="{_BAR}" height="5" rx="2"/>'
        f'<rect class="{kind}" width="{width}" height="5" rx="2"/></svg>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str) -> Iterator[str]:
    if not rows:
        yield f"<p>{escape(nothing)}</p>"
        return
    yield '<div class="scroll"><table>\n<thead><tr>'
    yield "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    yield "</tr></thead>\n<tbody>"
    yield from (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    yield "</tbody>\n</table></div>"
