"""The settings in force, for people to read: every secret hidden, also inside addresses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr

from analytics.core.settings import Settings, variable_name
from dashboard import formats

HIDDEN = "set (hidden)"
UNSET = "not set"
_PASSWORD = re.compile(r"(\w+://[^:/@\s]*:)[^@\s]+(@)")


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting."""

    variable: str
    value: str
    default: str
    description: str
    is_changed: bool
    """Whether the value in force differs from the default."""


def effective_settings(settings: Settings) -> list[SettingRow]:
    """Return every setting with the value in force, in the order of the groups."""
    return list(_rows(settings))


def _rows(settings: Settings) -> Iterator[SettingRow]:
    home = Settings.model_fields["home"]
    yield SettingRow(
        variable_name("home"), str(settings.home), "depends on the account", home.description or "", is_changed=False
    )
    for group in Settings.model_fields:
        held = getattr(settings, group)
        if not isinstance(held, BaseModel):
            continue
        for name, field in type(held).model_fields.items():
            value = getattr(held, name)
            yield SettingRow(
                variable=variable_name(group, name),
                value=shown(value),
                default=shown(field.default),
                description=field.description or "",
                is_changed=value != field.default,
            )


def shown(value: Any) -> str:
    """Return *value* as it may be shown: never a secret, nor a password inside an address."""
    match value:
        case None | () | "":
            return UNSET
        case SecretStr():
            return HIDDEN
        case timedelta():
            return formats.duration(value)
        case tuple():
            return ", ".join(shown(part) for part in value)
        case _:
            return _PASSWORD.sub(r"\1***\2", str(value))
