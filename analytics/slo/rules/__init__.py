"""Prometheus recording and alert rules of objectives."""
