"""Signatures of webhooks."""

import hashlib
import hmac
import uuid

import pytest

from worker.workflow.signatures import SignatureError, check_signature, hook_secret, sign
from worker.workflow.triggers import matches

SECRET = hook_secret("installation", uuid.UUID(int=7), 1)
BODY = b'{"ref": "main"}'
NOW = 1_800_000_000


def check(headers: dict[str, str], body: bytes = BODY, now: float = NOW) -> str:
    return check_signature(headers, body, secret=SECRET, now=now)


def test_a_body_signed_with_the_secret_is_taken():
    assert check({"helmsight-signature": sign(SECRET, BODY, NOW)})


def test_the_signature_is_that_which_anybody_can_compute():
    expected = hmac.new(SECRET.encode(), f"{NOW}.".encode() + BODY, hashlib.sha256).hexdigest()

    assert sign(SECRET, BODY, NOW) == f"t={NOW},v1={expected}"


def test_githubs_signature_is_taken():
    digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()

    assert check({"x-hub-signature-256": f"sha256={digest}"}) == digest


@pytest.mark.parametrize(
    "header",
    [
        sign(SECRET, b"other", NOW),
        sign("another", BODY, NOW),
        sign(SECRET, BODY, NOW).replace(f"t={NOW}", f"t={NOW + 1}"),
        f"t={NOW}",
        "",
        "v1=" + "0" * 64,
        f"t={NOW},v1=" + "é" * 64,
    ],
)
def test_what_is_not_signed_so_is_refused(header: str):
    with pytest.raises(SignatureError):
        check({"helmsight-signature": header})


def test_a_request_without_a_signature_is_refused():
    with pytest.raises(SignatureError, match="no Helmsight-Signature"):
        check({})


@pytest.mark.parametrize("off", [-301, 301])
def test_a_recorded_request_is_not_taken_later(off: int):
    header = {"helmsight-signature": sign(SECRET, BODY, NOW)}

    assert check(header, now=NOW + off + (1 if off < 0 else -1))
    with pytest.raises(SignatureError, match="5 minutes"):
        check(header, now=NOW + off)


def test_a_wrong_own_signature_is_not_saved_by_a_right_one_of_github():
    digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()

    with pytest.raises(SignatureError):
        check({"helmsight-signature": "t=1,v1=" + "0" * 64, "x-hub-signature-256": f"sha256={digest}"})


def test_secrets_differ_by_installation_trigger_and_generation():
    one, other = uuid.UUID(int=1), uuid.UUID(int=2)
    found = {hook_secret(*key) for key in [("a", one, 1), ("b", one, 1), ("a", other, 1), ("a", one, 2)]}

    assert len(found) == 4


EVENT = {"kind": "run.failed", "data": {"workflow": "etl", "tags": ["night", "eu"], "n": 1, "ok": True}}


@pytest.mark.parametrize(
    ("wanted", "is_match"),
    [
        ({}, True),
        ({"kind": "run.failed"}, True),
        ({"data.workflow": ["x", "etl"]}, True),
        ({"data.tags": "eu"}, True),
        ({"data.tags": ["us", "asia"]}, False),
        ({"data.workflow": "x"}, False),
        ({"data.missing": "x"}, False),
        ({"data.workflow.deeper": "x"}, False),
        ({"data.n": 1, "data.ok": True}, True),
        ({"data.n": True}, False),
        ({"data.ok": 1}, False),
    ],
    ids=str,
)
def test_a_filter_names_values_by_path(wanted: dict[str, object], is_match: bool):
    assert matches(wanted, EVENT) is is_match
