"""The contexts agents work in: their hierarchy, how they come and go, who reads and writes them."""

from analytics.contexts.intake import take_in
from analytics.contexts.model import ContextEvent, ContextUsage
from analytics.contexts.usage import context_events, usage, usage_over

__all__ = ["ContextEvent", "ContextUsage", "context_events", "take_in", "usage", "usage_over"]
