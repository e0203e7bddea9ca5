"""The people around the company: what they look at, whom they write to, who becomes a lead, who buys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from analytics.demo.chance import Chance
from analytics.demo.company import OWNERS
from analytics.demo.rows import History

SESSIONS_A_DAY = 70
"""Of an average workday."""
_DIRECT_LEADS_A_DAY = 3.5
_PEOPLE = 1400
_LONGEST = 14
"""Steps of one way at most."""
_BECOMES_LEAD = 0.8
_SLOW_STORAGE = "database_query_latency"
_DEVICES = ("desktop", "desktop", "phone", "tablet")
_CAMPAIGNS = ("none", "none", "autumn", "newsletter", "partner")
_SOURCES = ("referral", "fair", "referral")
_ARRIVALS = ("web.page_view",) * 15 + ("social.click",) * 4 + ("message.received",)


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of step that people take."""

    then: Sequence[tuple[str, float]] = ()
    """What may follow, each with its chance; the rest leaves."""
    after_s: float = 60.0
    """Median time from the step before to this one."""
    service: str = "demo-web"
    took_ms: float | None = 180.0
    """Median; None where there is nothing to wait for."""
    cost_usd: float | None = 0.00004
    pages: Sequence[str] = ()


STEPS: Mapping[str, Step] = {
    "web.page_view": Step(
        (("web.page_view", 0.32), ("web.pricing_view", 0.24), ("web.search", 0.12), ("social.share", 0.03)),
        45.0,
        pages=("/", "/features", "/customers", "/docs", "/security"),
    ),
    "web.search": Step(
        (("web.page_view", 0.55), ("web.download", 0.18)), 30.0, "demo-search", 240.0, 0.0006, pages=("/search",)
    ),
    "web.download": Step((("message.received", 0.35), ("web.pricing_view", 0.22)), 90.0, "demo-storage", 900.0, 0.0009),
    "web.pricing_view": Step((("web.signup", 0.34), ("message.received", 0.12), ("web.page_view", 0.2)), 80.0),
    "web.signup": Step((("web.checkout", 0.52), ("web.page_view", 0.12)), 240.0, took_ms=420.0),
    "web.checkout": Step((("web.purchase", 0.64), ("web.page_view", 0.1)), 5 * 3600.0, "demo-payments", 650.0, 0.01),
    "web.purchase": Step((("social.like", 0.15),), 200.0, "demo-payments", 1400.0, 0.30),
    "social.click": Step((("web.page_view", 0.82),), 20.0, "demo-ads", None, 0.42),
    "social.like": Step((("web.page_view", 0.2),), 3600.0, "demo-social", None, None),
    "social.share": Step((), 120.0, "demo-social", None, None),
    "message.received": Step((("message.sent", 0.85),), 1800.0, "demo-mail", 60.0, 0.0004),
    "message.sent": Step(
        (("message.received", 0.25), ("web.pricing_view", 0.35), ("web.signup", 0.1)),
        2.5 * 3600.0,
        "demo-mail",
        90.0,
        0.0004,
    ),
}
"""The steps of all ways; the first arrival is drawn from a list of its own."""


@dataclass(frozen=True, slots=True)
class _Person:
    subject: str
    campaign: str
    device: str


FUNNEL = ("web.page_view", "web.pricing_view", "web.signup", "web.checkout", "web.purchase")
"""The way that the company looks at."""
_FUNNEL_WINDOW_S = 7 * 86400.0


def add_journeys(history: History) -> None:
    """Add the ways of visitors and leads, step by step, the leads they became, and a funnel to look at them with."""
    chance = history.chance
    steps = orjson.dumps([{"kind": kind, "label": "", "where": {}} for kind in FUNNEL]).decode()
    times = (history.since, history.since)
    history.add("funnel", history.since, "From first view to purchase (demo)", steps, _FUNNEL_WINDOW_S, *times, "demo")
    leads: set[str] = set()
    for at in chance.times(history.since, history.until, a_day=SESSIONS_A_DAY):
        number = int(chance.rng.integers(_PEOPLE))
        person = _Person(
            f"visitor{number:04}@example.com", _CAMPAIGNS[number % len(_CAMPAIGNS)], _DEVICES[number % len(_DEVICES)]
        )
        first = chance.one_of(_ARRIVALS)
        signed_up = _walk(history, person, first, at)
        if signed_up is not None and person.subject not in leads and chance.happens(_BECOMES_LEAD):
            leads.add(person.subject)
            _lead(history, person.subject, "social" if first == "social.click" else "web", signed_up, len(leads))
    for number, at in enumerate(chance.times(history.since, history.until, a_day=_DIRECT_LEADS_A_DAY)):
        subject = f"lead{number:04}@example.com"
        _lead(history, subject, chance.one_of(_SOURCES), at, 5000 + number)
        later = at + timedelta(hours=round(chance.around(20.0), 3))
        _walk(history, _Person(subject, "none", "desktop"), "message.sent", later)


def _walk(history: History, person: _Person, kind: str, at: datetime) -> datetime | None:
    """Add the steps of one way from *kind* on; return when the person signed up, or None."""
    signed_up = None
    for _ in range(_LONGEST):
        if at >= history.until:
            break
        _step(history, person, kind, at)
        if kind == "web.signup":
            signed_up = signed_up or at
        following = _next(history.chance, STEPS[kind])
        if following is None:
            break
        kind = following
        at += timedelta(seconds=round(history.chance.around(STEPS[kind].after_s, spread=0.8), 3))
    return signed_up


def _next(chance: Chance, step: Step) -> str | None:
    roll = float(chance.rng.random())
    for kind, share in step.then:
        roll -= share
        if roll < 0:
            return kind
    return None


def _step(history: History, person: _Person, kind: str, at: datetime) -> None:
    step, chance = STEPS[kind], history.chance
    props = {"demo": True, "campaign": person.campaign, "device": person.device}
    if step.pages:
        props["page"] = chance.one_of(step.pages)
    took_ms = None
    if step.took_ms is not None:
        slow = 4.0 if kind.startswith("web.") and history.incident_at(at, _SLOW_STORAGE) else 1.0
        took_ms = round(chance.around(step.took_ms) * slow, 1)
    source = kind.partition(".")[0]
    history.event(at, kind, source, person.subject, props, service=step.service, took_ms=took_ms, cost=step.cost_usd)


def _lead(history: History, email: str, source: str, at: datetime, number: int) -> None:
    """Add a lead and how it came along; the better its score, the likelier it is won."""
    chance = history.chance
    score = round(float(chance.rng.beta(2, 3)), 3)
    status, changed, converted = "new", at, None
    _lead_event(history, email, "lead.created", at, source)
    moment = at
    for following, share, days in (
        ("contacted", 0.9, 0.6),
        ("qualified", 0.35 + 0.5 * score, 1.5),
        ("won", score, 3.0),
    ):
        moment += timedelta(days=round(chance.around(days), 4))
        if moment >= history.until:
            break
        if not chance.happens(share):
            status, changed = ("lost", moment) if status != "new" else (status, changed)
            if status == "lost":
                _lead_event(history, email, "lead.lost", moment, source)
            break
        status, changed = following, moment
        converted = moment if following == "won" else None
        _lead_event(history, email, f"lead.{following}", moment, source)
    owner, told = chance.one_of(OWNERS), f"demo-{number}"
    history.add("lead", at, email, owner, source, status, score, at, converted, told, changed)


def _lead_event(history: History, email: str, kind: str, at: datetime, source: str) -> None:
    history.event(at, kind, "lead", email, {"demo": True, "source": source})
