"""The contexts agents work in: their hierarchy, how they come and go, who reads and writes them."""

from analytics.contexts.intake import take_in
from analytics.contexts.model import ContextEvent, ContextUsage
from analytics.contexts.usage import usage

__all__ = ["ContextEvent", "ContextUsage", "take_in", "usage"]
