"""Identifiers: time-ordered UUIDs and secrets."""

import os
import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def new_id() -> uuid.UUID:
    """Return a new UUID of version 7: unique, and in one process strictly increasing.

    Source:
        RFC 9562, section 5.7, with the counter of section 6.2, method 1.
    """
    global _last_ms, _counter  # noqa: PLW0603 - the counter is what makes ids of one millisecond ordered
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms <= _last_ms:
            _counter += 1
            if _counter > 0xFFF:  # noqa: PLR2004 - rand_a has 12 bits
                _last_ms += 1
                _counter = 0
        else:
            _last_ms = now_ms
            _counter = 0
        stamp, count = _last_ms, _counter
    tail = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return uuid.UUID(int=(stamp << 80) | (0x7 << 76) | (count << 64) | (0b10 << 62) | tail)


def new_secret(n_bytes: int = 32) -> str:
    """Return a URL-safe secret with *n_bytes* bytes of randomness."""
    return secrets.token_urlsafe(n_bytes)
