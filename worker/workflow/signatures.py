"""Signatures of webhooks: what a sender has to show, and how it is checked. No rows.

``Helmsight-Signature: t=<unix seconds>,v1=<hex>`` is the HMAC-SHA256 of ``<t>.<body>``; the time keeps a recorded
request from being used later. GitHub's ``X-Hub-Signature-256: sha256=<hex>``, of the body alone, is taken as well.
"""

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping

from analytics.core.errors import PolicyError

OWN_HEADER = "helmsight-signature"
GITHUB_HEADER = "x-hub-signature-256"
TOLERANCE_S = 300
"""How far the time of a signature may be from ours, either way."""

_OWN = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})(?:,v1=([0-9a-f]{64}))?", re.ASCII)
_GITHUB = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


class SignatureError(PolicyError):
    """The sender of a webhook did not show that it knows the secret."""

    code = "signature"
    status = 401


def hook_secret(installation: str, trigger_id: uuid.UUID, generation: int) -> str:
    """Return the secret of a webhook, derived from the installation's, so that it need not be stored."""
    digest = hmac.digest(installation.encode(), f"helmsight.hook.{trigger_id}.{generation}".encode(), "sha256")
    return "whsec_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the header ``Helmsight-Signature`` of *body* at *at*, in Unix seconds."""
    return f"t={at},v1={_hex(secret, b'%d.' % at + body)}"


def check_signature(headers: Mapping[str, str], body: bytes, *, secret: str, now: float) -> str:
    """Return what identifies a signature that is right: a repeated request has the same.

    Args:
        headers: By lower-case name.
        body: As it came.
        secret: What the sender has to know.
        now: The present, in Unix seconds.

    Raises:
        SignatureError: If there is no signature, it is wrong, or its time is more than five minutes off.
    """
    own, github = headers.get(OWN_HEADER), headers.get(GITHUB_HEADER)
    if own is not None:
        return _check_own(own.replace(" ", ""), body, secret=secret, now=now)
    if github is not None:
        match = _GITHUB.fullmatch(github.strip().lower())
        if match is None or not hmac.compare_digest(match[1], _hex(secret, body)):
            raise _wrong()
        return match[1]
    raise SignatureError(
        "The request has no Helmsight-Signature header (t=<unix seconds>,v1=<hex hmac-sha256 of `t.body`>);"
        " nothing was started."
    )


def _check_own(header: str, body: bytes, *, secret: str, now: float) -> str:
    match = _OWN.fullmatch(header)
    if match is None:
        raise _wrong()
    expected = _hex(secret, match[1].encode() + b"." + body)
    # Two are sent while a secret is changed; both are compared, however the first went.
    right = [hmac.compare_digest(shown, expected) for shown in match.groups()[1:] if shown is not None]
    if not any(right):
        raise _wrong()
    if abs(now - int(match[1])) > TOLERANCE_S:
        raise SignatureError(
            f"The signature's time is more than {TOLERANCE_S // 60} minutes from ours; nothing was started."
            " Set the sender's clock, and sign each request anew."
        )
    return expected


def _wrong() -> SignatureError:
    return SignatureError(
        "The signature is not that of this body with this webhook's secret; nothing was started. Sign the bytes as"
        " they are sent."
    )


def _hex(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
