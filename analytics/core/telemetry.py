"""Names of our Prometheus metrics, in one place, so that page, alert and code agree.

Base units, ``_total`` on counters, bounded labels, no ids. Bucket bounds hold every threshold of the
standard objectives (0.1 s, 0.5 s, 2 s, 3 s), so that their shares can be counted exactly.
"""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)

HTTP_REQUESTS = Counter(
    "helmsight_http_requests", "HTTP requests answered.", ["group", "area", "method", "status_class"]
)
"""Groups are ``api``, ``page``, ``static``, ``files``, ``streamlit``, ``auth``, ``health``, ``metrics`` and ``other``;
the area of an API route is the first segment of its path, of other groups it is empty."""
HTTP_REQUEST_SECONDS = Histogram(
    "helmsight_http_request_duration_seconds", "Time to answer.", ["group", "area"], buckets=LATENCY_BUCKETS_S
)
HTTP_RESPONSE_BYTES = Counter("helmsight_http_response_bytes", "Bytes of bodies sent.", ["group"])
PAGE_SECONDS = Histogram(
    "helmsight_page_run_duration_seconds",
    "Time of one page run on the server.",
    ["page"],
    buckets=LATENCY_BUCKETS_S,
)
PAGE_LOAD_SECONDS = Histogram(
    "helmsight_page_load_duration_seconds",
    "Time from navigation to first content, as browsers report it.",
    ["page"],
    buckets=LATENCY_BUCKETS_S,
)
LIMIT_HITS = Counter("helmsight_rate_limit_hits", "Calls refused because a limit was reached.", ["limit"])
LOGINS = Counter("helmsight_logins", "Sign-in attempts.", ["outcome"])

WEBSOCKET_CONNECTIONS = Gauge("helmsight_websocket_connections", "Open live sockets.", ["channel"])
WEBSOCKET_OPENS = Counter(
    "helmsight_websocket_opens", "Attempts to open a live socket by somebody who may: ok or failed.", ["outcome"]
)
WEBSOCKET_REFUSALS = Counter(
    "helmsight_websocket_refusals", "Attempts refused: no identity, no right, a foreign origin.", ["reason"]
)
PAGE_SESSIONS = Gauge("helmsight_page_sessions", "Browser tabs connected to this process.")
WEBSOCKET_MESSAGES = Counter("helmsight_websocket_messages", "Messages on live sockets.", ["channel", "direction"])
WEBSOCKET_LATENCY_SECONDS = Histogram(
    "helmsight_websocket_latency_seconds",
    "Time from publishing an event to sending it.",
    ["channel"],
    buckets=(0.001, 0.005, 0.01, 0.02, 0.04, 0.1, 0.5, 2.0),
)

DB_QUERY_SECONDS = Histogram(
    "helmsight_db_query_duration_seconds", "Time of one SQL statement.", ["role"], buckets=LATENCY_BUCKETS_S
)
DB_ERRORS = Counter("helmsight_db_errors", "SQL statements that failed.", ["role"])
DB_POOL = Gauge("helmsight_db_connection_pool_size", "Connections of the process's pools.", ["pool", "state"])
DB_POOL_EVENTS = Counter(
    "helmsight_db_connection_pool_events",
    "Connections that were opened or found dead, and callers who got none in time.",
    ["pool", "event"],
)
DB_POOL_WAIT_SECONDS = Histogram(
    "helmsight_db_connection_wait_seconds",
    "Wait for a connection of the pool.",
    ["pool"],
    buckets=LATENCY_BUCKETS_S,
)
CACHE_LOOKUPS = Counter("helmsight_cache_lookups", "Lookups in a cache.", ["cache", "result"])
CACHE_SECONDS = Histogram(
    "helmsight_cache_answer_duration_seconds",
    "Time until a named cache had an answer: from this process, shared (from Redis) or computed (read anew).",
    ["cache", "source"],
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0),
)
CACHE_EVICTIONS = Counter("helmsight_cache_evictions", "Entries pushed out of a cache before their time.", ["cache"])
CACHE_ENTRIES = Gauge("helmsight_cache_entries", "Entries of a cache of this process.", ["cache"])
CACHE_MOST_ENTRIES = Gauge("helmsight_cache_most_entries", "The most entries a cache of this process keeps.", ["cache"])

JOBS = Counter("helmsight_jobs", "Jobs by outcome.", ["job", "outcome"])
JOB_SECONDS = Histogram("helmsight_job_duration_seconds", "Time of one job.", ["job"], buckets=LATENCY_BUCKETS_S)
RUNS = Counter("helmsight_runs", "Workflow runs that ended.", ["outcome"])
RUN_SECONDS = Histogram("helmsight_run_duration_seconds", "Time of one run.", [], buckets=LATENCY_BUCKETS_S)
NODES = Counter("helmsight_nodes", "Workflow nodes that ended.", ["kind", "outcome"])
NODE_SECONDS = Histogram("helmsight_node_duration_seconds", "Time of one node.", ["kind"], buckets=LATENCY_BUCKETS_S)
NODE_CPU_SECONDS = Counter(
    "helmsight_node_cpu_seconds", "Processor time of nodes, where it can be told apart: in child processes.", ["kind"]
)
NODE_LOG_LINES = Counter(
    "helmsight_node_log_lines",
    "Lines that nodes wrote: kept, cut (over the limit of an attempt) or dropped (PostgreSQL was too slow).",
    ["outcome"],
)
NODE_CACHE_WAIT_SECONDS = Histogram(
    "helmsight_node_cache_wait_duration_seconds",
    "Time a node waited for another to work out the same result.",
    [],
    buckets=LATENCY_BUCKETS_S,
)
ARTIFACT_BYTES = Counter(
    "helmsight_artifact_bytes", "Bytes of artifacts stored: files of nodes, or outputs too large for a row.", ["source"]
)
QUEUE_DEPTH = Gauge("helmsight_queue_depth", "Waiting jobs.", ["queue"])
SLOTS_USED = Gauge("helmsight_run_slots_used", "Runs in flight in this process.")

MCP_CALL_SECONDS = Histogram(
    "helmsight_mcp_call_duration_seconds", "Time of one MCP call.", ["server"], buckets=LATENCY_BUCKETS_S
)
MCP_CALLS = Counter("helmsight_mcp_calls", "MCP calls.", ["server", "outcome"])
MCP_BREAKER_OPEN = Gauge(
    "helmsight_mcp_circuit_breaker_open",
    "1 while calls of an MCP server fail at once, because it keeps failing and rests; else 0.",
    ["server"],
)
OCR_PAGES = Counter("helmsight_ocr_pages", "Pages read.", ["engine", "outcome"])
OCR_PAGE_SECONDS = Histogram(
    "helmsight_ocr_page_duration_seconds", "Time of one page.", ["engine"], buckets=LATENCY_BUCKETS_S
)

SYSTEM_CPU = Gauge("helmsight_system_cpu_ratio", "Share of processor time in use, 0 to 1.")
SYSTEM_MEMORY = Gauge("helmsight_system_memory_bytes", "Memory of the host.", ["state"])
SYSTEM_DISK = Gauge("helmsight_system_disk_bytes", "Disk that holds the home.", ["state"])
SYSTEM_NETWORK = Gauge("helmsight_system_network_bytes_total", "Network bytes since boot.", ["direction"])
SYSTEM_PROCESSES = Gauge("helmsight_system_processes", "Processes on the host.")
SYSTEM_UPTIME = Gauge("helmsight_system_uptime_seconds", "Time since boot.")
