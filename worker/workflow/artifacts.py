"""Bytes that nodes make, and outputs too large for their row.

An artifact is stored in the transaction that completes its node: an attempt that failed leaves none behind.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Session

from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.core.telemetry import ARTIFACT_BYTES
from worker.workflow.address import NodeAddress
from worker.workflow.results import MAX_OUTPUT_BYTES

__all__ = [
    "MAX_ARTIFACTS",
    "MAX_ARTIFACTS_BYTES",
    "MAX_ARTIFACT_BYTES",
    "MAX_OUTPUT_BYTES",
    "MAX_ROW_BYTES",
    "OUTPUT_NAME",
    "ArtifactBox",
    "ArtifactRow",
    "StoredArtifact",
    "count_stored",
    "insert",
    "insert_now",
    "load_output",
    "load_outputs",
    "read_artifact",
    "split_output",
]

MAX_ROW_BYTES = 65_536
"""A larger output is kept as an artifact."""
MAX_ARTIFACT_BYTES = 16 * 2**20
MAX_ARTIFACTS = 100
"""The most artifacts of one attempt."""
MAX_ARTIFACTS_BYTES = 64 * 2**20
"""The most bytes of all artifacts of one attempt; they are held in memory until the node is completed."""
OUTPUT_NAME = "output.json"
"""The name of an output that was too large for its row; nodes cannot save one of this name."""

_MAX_NAME = 200
_COLUMNS: Final = (
    "id",
    "run_created_at",
    "run_id",
    "node_id",
    "map_index",
    "name",
    "media_type",
    "size_bytes",
    "sha256",
    "content",
)
# Row by row, because the driver would escape the contents of an array byte by byte.
_INSERT = text(
    f"INSERT INTO artifact ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)
_READ = text("SELECT id, name, media_type, size_bytes, sha256, content FROM artifact WHERE id = :id")
_CONTENTS = text("SELECT id, content FROM artifact WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """An artifact that is to be stored."""

    id: uuid.UUID
    run_created_at: datetime
    run_id: uuid.UUID
    node_id: str
    map_index: int
    name: str
    media_type: str
    size_bytes: int
    sha256: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An artifact as it was stored."""

    id: uuid.UUID
    name: str
    media_type: str
    size_bytes: int
    sha256: bytes
    content: bytes


class ArtifactBox:
    """Collects what one attempt saves until its node is completed; belongs to one thread at a time."""

    def __init__(self, address: NodeAddress) -> None:
        self._address = address
        self.rows: list[ArtifactRow] = []

    def save(self, name: str, content: bytes, media_type: str) -> dict[str, Any]:
        """Keep *content* under *name*; it is stored when the node is completed.

        Returns:
            What to put into the node's output: ``artifact`` (its id), ``name``, ``media_type`` and ``size_bytes``.

        Raises:
            InputError: If the name was given before or cannot be used, or a limit is passed; it was not kept.
        """
        self._check(name, content)
        row = _row(self._address, name, media_type, bytes(content))
        self.rows.append(row)
        return {"artifact": str(row.id), "name": name, "media_type": media_type, "size_bytes": row.size_bytes}

    def _check(self, name: str, content: bytes) -> None:
        if not name or len(name) > _MAX_NAME or "\0" in name or "/" in name or name == OUTPUT_NAME:
            raise InputError(f"An artifact cannot be called {name[:50]!r}; it was not kept.")
        if any(row.name == name for row in self.rows):
            raise InputError(f"This attempt has saved an artifact {name!r} already; the second was not kept.")
        if len(content) > MAX_ARTIFACT_BYTES:
            raise InputError(
                f"The artifact {name!r} has {len(content) / 2**20:.1f} MiB, more than"
                f" {MAX_ARTIFACT_BYTES // 2**20} MiB; it was not kept. Save it in parts."
            )
        if len(self.rows) >= MAX_ARTIFACTS:
            raise InputError(f"A node saves at most {MAX_ARTIFACTS} artifacts; {name!r} was not kept.")
        if sum(row.size_bytes for row in self.rows) + len(content) > MAX_ARTIFACTS_BYTES:
            raise InputError(
                f"The artifacts of a node have at most {MAX_ARTIFACTS_BYTES // 2**20} MiB together; {name!r} was not"
                " kept."
            )


def split_output(output: str, address: NodeAddress) -> tuple[str | None, ArtifactRow | None]:
    """Return the JSON text *output* for the node's row, or the artifact that takes its place there."""
    if len(output) <= MAX_ROW_BYTES // 4:  # No character of UTF-8 has more than four bytes.
        return output, None
    encoded = output.encode()
    if len(encoded) <= MAX_ROW_BYTES:
        return output, None
    return None, _row(address, OUTPUT_NAME, "application/json", encoded)


async def insert(connection: AsyncConnection, rows: Sequence[ArtifactRow]) -> None:
    """Store *rows* in the transaction of *connection*; what is there already stays."""
    if rows:
        await connection.execute(_INSERT, _values(rows))
        count_stored(rows)


def insert_now(session: Session, rows: Sequence[ArtifactRow]) -> None:
    """Store *rows* in the transaction of *session*; what is there already stays."""
    if rows:
        session.execute(_INSERT, _values(rows))
        count_stored(rows)


def read_artifact(session: Session, artifact_id: uuid.UUID) -> StoredArtifact | None:
    """Return the artifact, or None when there is none: never was, or went with its month."""
    row = session.execute(_READ, {"id": artifact_id}).one_or_none()
    return None if row is None else StoredArtifact(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def load_output(session: Session, output: Any, output_ref: uuid.UUID | None) -> Any:
    """Return a node's output, from its row or from the artifact that took its place.

    Raises:
        NotFoundError: If that artifact is gone.
    """
    if output_ref is None:
        return output
    found = read_artifact(session, output_ref)
    if found is None:
        raise _gone(output_ref)
    return orjson.loads(found.content)


async def load_outputs(connection: AsyncConnection, refs: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, Any]:
    """Return the outputs that the artifacts *refs* hold, by id, in one question.

    Raises:
        NotFoundError: If one of them is gone.
    """
    wanted = list(refs)
    if not wanted:
        return {}
    rows = await connection.execute(_CONTENTS, {"ids": wanted})
    found = {row.id: orjson.loads(row.content) for row in rows}
    for ref in wanted:
        if ref not in found:
            raise _gone(ref)
    return found


def _gone(ref: uuid.UUID) -> NotFoundError:
    return NotFoundError(
        f"The output {ref} is gone: it was kept beside its row, and its month was dropped. Run the node again."
    )


def _row(address: NodeAddress, name: str, media_type: str, content: bytes) -> ArtifactRow:
    return ArtifactRow(
        id=new_id(),
        run_created_at=address.run_created_at,
        run_id=address.run_id,
        node_id=address.node_id,
        map_index=address.map_index,
        name=name,
        media_type=media_type,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).digest(),
        content=content,
    )


def _values(rows: Sequence[ArtifactRow]) -> list[dict[str, Any]]:
    return [{name: getattr(row, name) for name in _COLUMNS} for row in rows]


def count_stored(rows: Iterable[ArtifactRow]) -> None:
    """Count *rows* in the metrics; for those who store them by a statement of their own."""
    for row in rows:
        ARTIFACT_BYTES.labels("output" if row.name == OUTPUT_NAME else "file").inc(row.size_bytes)
