"""The company of the demo: who works there, on what, and what went wrong. Invented, all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A language model with the prices of the demo."""

    name: str
    input_usd: float | None
    """For a million tokens; None where no price is known."""
    output_usd: float | None
    provider: str = "demo-cloud"


@dataclass(frozen=True, slots=True)
class DemoAgent:
    """An agent of the demo."""

    id: str
    name: str
    icon: str
    team: str
    task: str
    """What it does to a document, in words."""
    took_s: float
    """Median time of a run."""
    failing: float
    """Share of runs that fail on a good day."""
    model: DemoModel | None = None
    tokens: tuple[int, int] = (0, 0)
    """Median of tokens read and written in a run."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong, and what it did to objectives."""

    title: str
    service: str
    since: datetime
    until: datetime
    bad_ratio: dict[str, float]
    """Share of events that were bad while it lasted, by objective."""

    def covers(self, at: datetime) -> bool:
        """Return whether it lasted at *at*."""
        return self.since <= at < self.until


@dataclass(frozen=True, slots=True)
class Release:
    """A deployment, and what it changed."""

    title: str
    service: str
    at: datetime
    slower: Mapping[str, float] = field(default_factory=dict)
    """By how much runs take longer since then, by model."""
    failing: Mapping[str, float] = field(default_factory=dict)
    """By how much runs fail more often since then, by agent."""


SMALL = DemoModel("demo-small", 0.15, 0.60)
LARGE = DemoModel("demo-large", 3.00, 15.00)
LOCAL = DemoModel("demo-local", None, None, provider="demo-on-premises")

AGENTS: Sequence[DemoAgent] = (
    DemoAgent("demo-mailroom", "Mailroom", "mail", "Intake", "Receive", 0.8, 0.004),
    DemoAgent("demo-classifier", "Classifier", "category", "Intake", "Classify", 1.6, 0.010, SMALL, (1400, 60)),
    DemoAgent("demo-splitter", "Splitter", "content_cut", "Intake", "Split", 1.1, 0.008),
    DemoAgent("demo-reader", "Reader", "document_scanner", "Intake", "Read", 4.2, 0.022),
    DemoAgent("demo-extractor", "Extractor", "data_object", "Extraction", "Extract", 6.5, 0.018, LARGE, (5200, 700)),
    DemoAgent("demo-tables", "Table reader", "table", "Extraction", "Read tables of", 5.1, 0.030, SMALL, (3100, 900)),
    DemoAgent("demo-signatures", "Signature checker", "draw", "Extraction", "Check signatures of", 2.4, 0.012),
    DemoAgent("demo-translator", "Translator", "translate", "Extraction", "Translate", 7.4, 0.015, LOCAL, (2800, 2600)),
    DemoAgent("demo-validator", "Validator", "fact_check", "Review", "Validate", 3.0, 0.020, SMALL, (2600, 240)),
    DemoAgent("demo-compliance", "Compliance", "gavel", "Review", "Check rules for", 8.2, 0.026, LARGE, (7400, 520)),
    DemoAgent("demo-risk", "Risk scorer", "monitoring", "Review", "Score", 2.2, 0.014),
    DemoAgent("demo-summariser", "Summariser", "summarize", "Review", "Summarise", 4.8, 0.012, LARGE, (4300, 420)),
    DemoAgent("demo-archivist", "Archivist", "inventory_2", "Delivery", "File", 1.3, 0.006),
    DemoAgent("demo-notifier", "Notifier", "notifications", "Delivery", "Announce", 0.6, 0.009),
)

PATH: Sequence[tuple[str, float]] = (
    ("demo-mailroom", 1.0),
    ("demo-classifier", 1.0),
    ("demo-splitter", 0.4),
    ("demo-reader", 0.9),
    ("demo-extractor", 1.0),
    ("demo-tables", 0.35),
    ("demo-signatures", 0.3),
    ("demo-translator", 0.15),
    ("demo-validator", 1.0),
    ("demo-compliance", 0.3),
    ("demo-risk", 0.25),
    ("demo-summariser", 0.5),
    ("demo-archivist", 1.0),
    ("demo-notifier", 0.7),
)
"""The way of a document through the agents, and the share of documents that pass each."""

KINDS = ("invoice", "contract", "claim", "application", "delivery note")
PROJECTS = (
    "Invoices 2026",
    "Supplier contracts",
    "Damage claims",
    "Account openings",
    "Archive migration",
)
TASKS = (
    "Agree on fields",
    "Collect sample documents",
    "Train the classifier",
    "Review extraction errors",
    "Write the filing rules",
    "Connect the mailbox",
    "Check with the auditors",
    "Hand over to operations",
)
OWNERS = ("amara@example.com", "jonas@example.com", "li@example.com", "sofia@example.com")
LEAD_SOURCES = ("web", "referral", "fair", "social")

WORKFLOW = "document-intake"


def incidents(now: datetime) -> list[Incident]:
    """Return the three incidents of the thirty days before *now*, oldest first; each on a working day."""
    outage = _workday(now - timedelta(days=19), hour=10)
    storage = _workday(now - timedelta(days=10), hour=13)
    deploy = _workday(now - timedelta(days=4), hour=9)
    return [
        Incident(
            "Model provider answered with errors (demo)",
            "agents",
            outage,
            outage + timedelta(minutes=90),
            {"llm_api_success_rate": 0.38},
        ),
        Incident(
            "Slow storage while an index was rebuilt (demo)",
            "database",
            storage,
            storage + timedelta(minutes=150),
            {
                "database_query_latency": 0.55,
                "api_latency_p95": 0.30,
                "api_latency_p99": 0.06,
                "dashboard_load_time": 0.35,
            },
        ),
        Incident(
            "Release 4.7.1 answered with server errors (demo)",
            "api",
            deploy,
            deploy + timedelta(minutes=40),
            {"api_availability": 0.06, "websocket_connection_success": 0.25, "cache_hit_rate": 0.60},
        ),
    ]


def releases(now: datetime) -> list[Release]:
    """Return the deployments of the thirty days before *now*, oldest first.

    One makes the large model slower, one makes the table reader better; the last two surround the last incident.
    """
    wrong = incidents(now)[-1]
    found = [
        Release("Release 4.6.0 (demo)", "api", _workday(now - timedelta(days=26), hour=8)),
        Release("Release 4.7.0 (demo)", "api", _workday(now - timedelta(days=16), hour=8)),
        Release(
            "Table reader 2.0 (demo)",
            "agents",
            _workday(now - timedelta(days=13), hour=7),
            failing={"demo-tables": 0.3},
        ),
        Release(
            "Model gateway 2.3.0 (demo)",
            "agents",
            _workday(now - timedelta(days=8), hour=7),
            slower={LARGE.name: 1.7},
        ),
        Release("Release 4.7.1 (demo)", "api", wrong.since),
        Release("Release 4.7.2 (demo)", "api", wrong.until),
    ]
    return sorted(found, key=lambda item: item.at)


def runaway(now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when one agent summarised the same documents again and again; nobody noted it."""
    began = _workday(now - timedelta(days=2), hour=14)
    return began, began + timedelta(minutes=90)


def stuck_job(now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when, one night, a job that hung kept the processor busy."""
    began = (now - timedelta(days=6)).replace(hour=1, minute=0, second=0, microsecond=0)
    return began, began + timedelta(hours=4)


def _workday(moment: datetime, *, hour: int) -> datetime:
    """Return *hour* UTC of the day of *moment*, or of the Friday before a weekend."""
    day = moment.replace(hour=hour, minute=0, second=0, microsecond=0)
    while day.weekday() >= _SATURDAY:
        day -= timedelta(days=1)
    return day
