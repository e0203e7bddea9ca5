"""How numbers from outside come in: Prometheus, the host itself."""
