"""One account for each role below administrator, for showing Helmsight to somebody."""

from sqlalchemy.orm import Session

from analytics.store.queries import identity
from dashboard.auth.accounts import create_user
from dashboard.auth.roles import Role
from dashboard.commands.accounts import one_time_password


def make_demo_accounts(session: Session) -> list[tuple[str, str]]:
    """Make the accounts that are not there yet; return e-mail and one-time password of each made."""
    made = []
    for role in (Role.VIEWER, Role.ANALYST, Role.OPERATOR):
        email = f"{role.label}@localhost"
        if identity.find_user(session, email) is None:
            password = one_time_password()
            create_user(
                session,
                email=email,
                name=f"Demo {role.label}",
                role=role,
                password=password,
                must_change_password=True,
            )
            made.append((email, password))
    return made
