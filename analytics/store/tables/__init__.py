"""Every table, by concern."""

from analytics.store.tables.agents import Agent, AgentRun, Handoff, LlmCall
from analytics.store.tables.base import DEMO, LIVE, Base
from analytics.store.tables.database import AdvisedIndex
from analytics.store.tables.identity import ApiToken, AuditEntry, LoginFailure, User, UserSession
from analytics.store.tables.insights import Insight, InsightFeedback, KpiThreshold, KpiThresholdRevision
from analytics.store.tables.journeys import Context, Funnel
from analytics.store.tables.mcp import McpServer, McpTool
from analytics.store.tables.measurements import (
    Annotation,
    Cursor,
    Event,
    Lead,
    MetricSample,
)
from analytics.store.tables.projects import Project, Task, WorkItem
from analytics.store.tables.rollups import RollupDay, RollupDirty, RollupHour
from analytics.store.tables.runs import (
    ActiveRun,
    Artifact,
    NodeAttempt,
    NodeCache,
    NodeLog,
    NodeRun,
    NodeWait,
    Run,
    RunEnded,
    RunEvent,
    RunKey,
    RunSignal,
    WorkflowDay,
)
from analytics.store.tables.schedules import RunTrigger, SavedView, Schedule, ScheduleRun
from analytics.store.tables.slos import (
    SloAlert,
    SloBucket1d,
    SloBucket1h,
    SloBucket5m,
    SloCorrection,
    SloDefinition,
    SloReading,
    SloRevision,
)
from analytics.store.tables.workflows import (
    Blob,
    Document,
    DocumentPage,
    WorkerProcess,
    Workflow,
    WorkflowVersion,
)

__all__ = [
    "DEMO",
    "LIVE",
    "ActiveRun",
    "AdvisedIndex",
    "Agent",
    "AgentRun",
    "Annotation",
    "ApiToken",
    "Artifact",
    "AuditEntry",
    "Base",
    "Blob",
    "Context",
    "Cursor",
    "Document",
    "DocumentPage",
    "Event",
    "Funnel",
    "Handoff",
    "Insight",
    "InsightFeedback",
    "KpiThreshold",
    "KpiThresholdRevision",
    "Lead",
    "LlmCall",
    "LoginFailure",
    "McpServer",
    "McpTool",
    "MetricSample",
    "NodeAttempt",
    "NodeCache",
    "NodeLog",
    "NodeRun",
    "NodeWait",
    "Project",
    "RollupDay",
    "RollupDirty",
    "RollupHour",
    "Run",
    "RunEnded",
    "RunEvent",
    "RunKey",
    "RunSignal",
    "RunTrigger",
    "SavedView",
    "Schedule",
    "ScheduleRun",
    "SloAlert",
    "SloBucket1d",
    "SloBucket1h",
    "SloBucket5m",
    "SloCorrection",
    "SloDefinition",
    "SloReading",
    "SloRevision",
    "Task",
    "User",
    "UserSession",
    "WorkItem",
    "WorkerProcess",
    "Workflow",
    "WorkflowDay",
    "WorkflowVersion",
]
