"""Thirty days of an invented company: labelled, reproducible, and removable without a trace."""

from analytics.demo.live import keep_alive
from analytics.demo.seed import RemoveReport, SeedReport, is_seeded, remove, seed

__all__ = ["RemoveReport", "SeedReport", "is_seeded", "keep_alive", "remove", "seed"]
