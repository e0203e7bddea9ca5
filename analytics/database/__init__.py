"""What PostgreSQL says of itself: slow statements, indexes, locks, input and output; and advised indexes made."""

from analytics.database.activity import activity
from analytics.database.advice import index_advice
from analytics.database.building import keep_indexes
from analytics.database.findings import database_findings
from analytics.database.indexes import index_findings
from analytics.database.io import io_report
from analytics.database.making import made_indexes, request_best, request_drop, request_index
from analytics.database.relations import sample_sizes, tables
from analytics.database.server import check_settings, server_state
from analytics.database.statements import statements

__all__ = [
    "activity",
    "check_settings",
    "database_findings",
    "index_advice",
    "index_findings",
    "io_report",
    "keep_indexes",
    "made_indexes",
    "request_best",
    "request_drop",
    "request_index",
    "sample_sizes",
    "server_state",
    "statements",
    "tables",
]
