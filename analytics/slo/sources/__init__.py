"""Where buckets of good and total events are counted: Prometheus and PostgreSQL."""
