import io

import pytest
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.store.queries import audit, identity
from dashboard.auth.accounts import verify_password
from dashboard.commands import accounts
from dashboard.commands.demo_accounts import make_demo_accounts

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def named(settings, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(settings.home))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", settings.dsn)


def said(lines):
    return "\n".join(lines)


def add(email="ada@example.com", role="operator"):
    return said(accounts.add_user(email, role=role, name=None, password_from_input=False))


def test_an_account_gets_a_one_time_password_that_must_be_changed(session):
    password = add().rpartition(": ")[2]
    credentials = identity.find_credentials(session, "ada@example.com")
    assert verify_password(credentials, password)
    assert credentials.user.must_change_password


def test_a_password_from_standard_input_is_taken_as_it_is(session, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough word\n"))
    printed = said(accounts.add_user("ada@example.com", role="viewer", name="Ada", password_from_input=True))
    credentials = identity.find_credentials(session, "ada@example.com")
    assert verify_password(credentials, "a long enough word")
    assert not credentials.user.must_change_password
    assert "password" not in printed


def test_no_password_on_standard_input_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(InputError, match="standard input"):
        list(accounts.add_user("ada@example.com", role="viewer", name=None, password_from_input=True))


def test_the_same_e_mail_twice_is_refused_whatever_its_case():
    add()
    with pytest.raises(ConflictError, match="already an account"):
        add("ADA@example.com")


def test_an_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="viewer, analyst, operator, admin"):
        add(role="king")


def test_the_list_tells_role_and_state():
    add()
    add("bob@example.com", role="viewer")
    list(accounts.disable_user("bob@example.com", enable=False))
    assert list(accounts.list_users()) == [
        "ada@example.com\toperator\tactive\tada@example.com",
        "bob@example.com\tviewer\tdisabled\tbob@example.com",
    ]


def test_a_role_is_changed_and_audited(session):
    add()
    assert "is analyst now" in said(accounts.set_role("ada@example.com", "analyst"))
    assert identity.find_user(session, "ada@example.com").role == "analyst"
    entry = audit.list_audit(session, action="user.changed")[0]
    assert (entry.actor, entry.detail) == ("cli", {"role": "analyst"})


def test_the_last_administrator_stays_one():
    add(role="admin")
    with pytest.raises(ConflictError, match="last administrator"):
        list(accounts.set_role("ada@example.com", "viewer"))


def test_a_new_password_replaces_the_old_one(session):
    old = add().rpartition(": ")[2]
    new = said(accounts.set_password("ada@example.com", password_from_input=False)).rpartition(": ")[2]
    credentials = identity.find_credentials(session, "ada@example.com")
    assert verify_password(credentials, new)
    assert not verify_password(credentials, old)


def test_a_disabled_account_is_let_in_again(session):
    add()
    list(accounts.disable_user("ada@example.com", enable=False))
    list(accounts.disable_user("ada@example.com", enable=True))
    assert identity.find_user(session, "ada@example.com").disabled_at is None


def test_an_unknown_account_is_an_error():
    with pytest.raises(NotFoundError, match="helmsight user list"):
        list(accounts.set_role("nobody@example.com", "viewer"))


def test_a_token_is_shown_once_listed_without_its_secret_and_ended():
    add()
    *_, secret = accounts.add_token("ada@example.com", name="robot", role="analyst", days=7)
    listed = said(accounts.list_tokens("ada@example.com"))
    assert secret not in listed
    assert "\tanalyst\tactive\trobot" in listed
    assert "ended" in said(accounts.revoke_token(listed.split("\t")[0]))
    assert "\tended\t" in said(accounts.list_tokens(None))
    with pytest.raises(NotFoundError, match="no open token"):
        list(accounts.revoke_token(listed.split("\t")[0]))


def test_a_token_of_an_account_with_a_one_time_password_comes_with_a_warning():
    add()
    assert "change the one-time password" in said(accounts.add_token("ada@example.com", name="x", role=None, days=1))


def test_what_is_no_token_id_is_refused():
    with pytest.raises(InputError, match="helmsight token list"):
        list(accounts.revoke_token("robot"))


def test_the_first_administrator_is_made_once(session: Session):
    email, password = accounts.make_first_admin(session)
    assert verify_password(identity.find_credentials(session, email), password)
    assert identity.find_user(session, email).must_change_password
    assert accounts.make_first_admin(session) is None


def test_demo_accounts_are_made_once_one_for_each_lower_role(session: Session):
    made = make_demo_accounts(session)
    assert [email for email, _ in made] == ["viewer@localhost", "analyst@localhost", "operator@localhost"]
    assert make_demo_accounts(session) == []
