"""The pages that exist, who may open them, and links that keep the reader's filters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from dashboard.auth.roles import Role
from dashboard.filters import Filters

PAGE_ROOT = Path(__file__).parent / "app_pages"


@dataclass(frozen=True, slots=True)
class PageSpec:
    """One page: the question it answers, where it is, and the lowest role that may open it."""

    key: str
    """Name of its module and its path in the URL; the overview is at the root."""
    title: str
    icon: str
    group: str
    role: Role
    summary: str
    is_listed: bool = True
    """Whether the navigation shows it; other pages are reached by links."""

    @property
    def path(self) -> Path:
        """Return the file of the page."""
        return PAGE_ROOT / f"{self.key}.py"


PAGES: tuple[PageSpec, ...] = (
    PageSpec(
        "overview",
        "Overview",
        ":material/space_dashboard:",
        "Observe",
        Role.VIEWER,
        "Is it healthy, and what needs me? Parts, key figures, objectives at risk and the latest runs.",
    ),
    PageSpec(
        "agents",
        "Agents",
        ":material/hub:",
        "Observe",
        Role.VIEWER,
        "Who is doing what now? The graph of agents with their live state, success and cost.",
    ),
    PageSpec(
        "analytics",
        "Analytics",
        ":material/monitoring:",
        "Observe",
        Role.VIEWER,
        "What is used, who does it well, and what does it cost? Usage, a ranking of agents, models and cost, trends.",
    ),
    PageSpec(
        "operations",
        "Operations",
        ":material/monitor_heart:",
        "Observe",
        Role.ANALYST,
        "Does everything run, and what needs a hand? Parts, score, alerts, queues, workers, breakers, failures.",
    ),
    PageSpec(
        "performance",
        "Performance",
        ":material/speed:",
        "Observe",
        Role.VIEWER,
        "How quickly is everything answered? Endpoints, pages, caches, connection pools and SQL against their bounds.",
    ),
    PageSpec(
        "insights",
        "Insights",
        ":material/lightbulb:",
        "Observe",
        Role.VIEWER,
        "What stands out, and what lies ahead? Anomalies, changes of level, forecasts, capacity, bounds that fit.",
    ),
    PageSpec(
        "journeys",
        "Journeys",
        ":material/conversion_path:",
        "Observe",
        Role.ANALYST,
        "What do people do, where do they leave, what does it cost? Funnels, paths, leads, events and their import.",
    ),
    PageSpec(
        "contexts",
        "Contexts",
        ":material/folder_managed:",
        "Observe",
        Role.ANALYST,
        "How do agents use their contexts, and which lie idle? Creation, access, hierarchy and lifecycle.",
    ),
    PageSpec(
        "slos",
        "SLOs",
        ":material/target:",
        "Observe",
        Role.VIEWER,
        "How much error budget is left? All objectives with state, burn rates and coverage.",
    ),
    PageSpec(
        "slo",
        "SLO",
        ":material/target:",
        "Observe",
        Role.VIEWER,
        "How does one objective stand, why, and how does it go on? Its budget with a forecast, alerts, corrections.",
        is_listed=False,
    ),
    PageSpec(
        "slo_editor",
        "SLO editor",
        ":material/edit_document:",
        "Observe",
        Role.VIEWER,
        "What should an objective promise? Form and text side by side with what real history says; save a revision.",
        is_listed=False,
    ),
    PageSpec(
        "slo_report",
        "SLO report",
        ":material/summarize:",
        "Observe",
        Role.VIEWER,
        "Which objectives were met in a month? Any period, with the one before, worst incidents and downloads.",
        is_listed=False,
    ),
    PageSpec(
        "workflows",
        "Workflows",
        ":material/account_tree:",
        "Operate",
        Role.ANALYST,
        "What can run, and how does it do? Start a workflow, compare its versions, let schedules and events start it.",
    ),
    PageSpec(
        "editor",
        "Editor",
        ":material/edit_document:",
        "Operate",
        Role.ANALYST,
        "How is a workflow written? Text and graph side by side, checked while you type; test a node, store a version.",
        is_listed=False,
    ),
    PageSpec(
        "runs",
        "Runs",
        ":material/playlist_play:",
        "Operate",
        Role.ANALYST,
        "What ran, runs and waits? Find runs, cancel or retry many at once, keep views of them.",
    ),
    PageSpec(
        "run",
        "Run",
        ":material/play_circle:",
        "Operate",
        Role.ANALYST,
        "What did one run do? Its steps, live, with their durations, logs, inputs, outputs and errors.",
        is_listed=False,
    ),
    PageSpec(
        "compare",
        "Compare runs",
        ":material/compare_arrows:",
        "Operate",
        Role.ANALYST,
        "What differs between two runs? Input, definition, steps, durations and results side by side.",
        is_listed=False,
    ),
    PageSpec(
        "ocr",
        "OCR",
        ":material/document_scanner:",
        "Operate",
        Role.ANALYST,
        "What does a document say? Upload an image or PDF and compare its text with the picture.",
    ),
    PageSpec(
        "mcp",
        "MCP",
        ":material/extension:",
        "Operate",
        Role.ANALYST,
        "Which tools can be called? MCP servers, their tools, a call console and recent calls.",
    ),
    PageSpec(
        "queue",
        "Queue",
        ":material/stacks:",
        "Operate",
        Role.ANALYST,
        "Is work moving, and what needs me? Workers, slots, the backlog in its order, decisions and dead letters.",
    ),
    PageSpec(
        "database",
        "Database",
        ":material/database:",
        "Operate",
        Role.OPERATOR,
        "What does PostgreSQL spend its time on? Slow statements, indexes, locks, tables, with SQL to copy.",
    ),
    PageSpec(
        "admin",
        "Admin",
        ":material/admin_panel_settings:",
        "Admin",
        Role.ADMIN,
        "Who may do what, and how is this installation set up? Users, tokens, settings, health.",
    ),
)
DEFAULT_PAGE = PAGES[0].key

_BY_KEY = {page.key: page for page in PAGES}


def page_of(key: str) -> PageSpec:
    """Return the page called *key*; a KeyError is a mistake of ours."""
    return _BY_KEY[key]


def pages_for(role: Role) -> dict[str, list[PageSpec]]:
    """Return the pages that *role* may open, by group, in the order of the navigation."""
    groups: dict[str, list[PageSpec]] = {}
    for page in PAGES:
        if role >= page.role:
            groups.setdefault(page.group, []).append(page)
    return groups


def query(filters: Filters, **extra: object) -> dict[str, str]:
    """Return the query parameters of a link: the filters, and what the page itself needs; None is left out."""
    own = {name: str(value) for name, value in extra.items() if value is not None}
    return {**filters.params(), **own}


def url(key: str, filters: Filters, **extra: object) -> str:
    """Return the address of a page within this site, for link columns and new tabs."""
    path = "/" if key == DEFAULT_PAGE else f"/{key}"
    params: Mapping[str, str] = query(filters, **extra)
    return f"{path}?{urlencode(params)}" if params else path
