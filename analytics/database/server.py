"""The server and our database now, its settings beside what we advise."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from analytics.database.model import ServerState, SettingCheck
from analytics.database.section import Section


def server_state(session: Session) -> Section[ServerState]:
    """Return how the server and our database are."""
    raise NotImplementedError


def check_settings(session: Session) -> Section[Sequence[SettingCheck]]:
    """Return settings beside what we advise, those that are wrong first."""
    raise NotImplementedError
