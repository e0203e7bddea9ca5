"""The four roles, each able to do what the one before it can."""

import enum

from analytics.core.errors import InputError


class Role(enum.IntEnum):
    """What a person or token may do; compare with ``>=``."""

    VIEWER = 1
    """Reads numbers."""
    ANALYST = 2
    """Reads everything that runs."""
    OPERATOR = 3
    """Starts and stops work."""
    ADMIN = 4
    """Manages people, tokens and settings."""

    @property
    def label(self) -> str:
        """Return the role as it is stored and shown, for example ``operator``."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> "Role":
        """Return the role called *text*.

        Raises:
            InputError: If there is none.
        """
        try:
            return cls[text.strip().upper()]
        except KeyError:
            known = ", ".join(role.label for role in cls)
            raise InputError(f"There is no role {text!r}; the roles are {known}. Nothing was changed.") from None
