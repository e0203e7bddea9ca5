"""What nodes return, as JSON that PostgreSQL can keep."""

from typing import Any

import orjson

from analytics.core.errors import InputError

MAX_OUTPUT_BYTES = 16 * 2**20
"""The largest output of a node; above 64 KiB it is kept beside its row (:mod:`worker.workflow.artifacts`)."""

_NUL = b"\\u0000"
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z


def to_json(value: Any) -> str:
    r"""Return *value* as JSON text; ``\0``, which PostgreSQL cannot keep, becomes U+FFFD.

    What JSON has no number for, not-a-number and the infinities, becomes ``null``: a value that is not there.

    Raises:
        InputError: If JSON has no way to say it.
    """
    return _encoded(value).decode()


def output_json(value: Any) -> str:
    """Return a node's output as JSON text.

    Raises:
        InputError: If it is not JSON, or larger than 16 MiB.
    """
    encoded = _encoded(value)
    if len(encoded) > MAX_OUTPUT_BYTES:
        raise InputError(
            f"The output has {len(encoded) / 2**20:.1f} MiB, more than {MAX_OUTPUT_BYTES // 2**20} MiB; it was not"
            " kept. Return a summary, or save the rest as artifacts."
        )
    return encoded.decode()


def _encoded(value: Any) -> bytes:
    try:
        encoded = orjson.dumps(value, option=_OPTIONS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise InputError(f"The value is not JSON ({error}); it was not kept.") from error
    if _NUL in encoded:
        encoded = orjson.dumps(_without_nul(orjson.loads(encoded)))
    return encoded


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    return value
