"""Every table, by concern."""

from analytics.store.tables.agents import Agent, AgentRun, Handoff, LlmCall
from analytics.store.tables.base import DEMO, LIVE, Base
from analytics.store.tables.identity import ApiToken, AuditEntry, LoginFailure, User, UserSession
from analytics.store.tables.mcp import McpServer, McpTool
from analytics.store.tables.measurements import (
    Annotation,
    Cursor,
    Event,
    Lead,
    MetricSample,
    SloBucket1h,
    SloBucket5m,
)
from analytics.store.tables.projects import Project, Task, WorkItem
from analytics.store.tables.workflows import (
    ActiveRun,
    Blob,
    Document,
    DocumentPage,
    NodeRun,
    Run,
    WorkerProcess,
    Workflow,
    WorkflowVersion,
)

__all__ = [
    "DEMO",
    "LIVE",
    "ActiveRun",
    "Agent",
    "AgentRun",
    "Annotation",
    "ApiToken",
    "AuditEntry",
    "Base",
    "Blob",
    "Cursor",
    "Document",
    "DocumentPage",
    "Event",
    "Handoff",
    "Lead",
    "LlmCall",
    "LoginFailure",
    "McpServer",
    "McpTool",
    "MetricSample",
    "NodeRun",
    "Project",
    "Run",
    "SloBucket1h",
    "SloBucket5m",
    "Task",
    "User",
    "UserSession",
    "WorkItem",
    "WorkerProcess",
    "Workflow",
    "WorkflowVersion",
]
