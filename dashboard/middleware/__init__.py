"""What every request passes through: identity, limits, headers, compression, metrics. Pure ASGI."""
