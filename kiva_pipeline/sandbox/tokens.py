"""OAuth client credentials (RFC 6749 §4.4): who may ask for a token, and what a token may do.

What must not break: secrets and tokens are kept as hashes only, and a token belongs to one partner.
"""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass

from kiva_pipeline.sandbox.answers import Refusal, TokenRefusal
from kiva_pipeline.sandbox.store import Store

AUDIENCE = "kiva-sandbox"
TOKEN_SECONDS = 43_199  # what Kiva's answers say: just under twelve hours
READ_LOANS = "read:loans"
CREATE_LOAN_DRAFT = "create:loan_draft"
CREATE_REPAYMENT = "create:repayment"
CREATE_JOURNAL = "create:journal_update"
ALL_SCOPES = (READ_LOANS, CREATE_LOAN_DRAFT, CREATE_REPAYMENT, CREATE_JOURNAL)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token a request carries, and what it may do."""

    partner_id: str
    scopes: frozenset[str]


def hash_of(secret: str) -> str:
    """What is kept of a secret or a token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(store: Store, form: dict[str, str] | None, issuer: str) -> dict[str, str | int]:
    """Answer a token request.

    Args:
        store: The sandbox's store.
        form: The fields that were posted; None when the body was not form-encoded.
        issuer: The sandbox's own address, for ``iss``.

    Returns:
        The answer; ``scope`` is what was asked for as far as the client is authorised.

    Raises:
        TokenRefusal: 400 for a wrong form, grant or audience, 401 for a wrong client.
    """
    if form is None:
        raise TokenRefusal(
            400, "invalid_request", "The body must be application/x-www-form-urlencoded."
        )
    if form.get("grant_type") != "client_credentials":
        raise TokenRefusal(400, "unsupported_grant_type", "Only client_credentials is granted.")
    client = store.row("SELECT * FROM client WHERE client_id = ?", form.get("client_id", ""))
    known_hash = client["secret_hash"] if client else ""
    right_secret = hmac.compare_digest(hash_of(form.get("client_secret", "")), known_hash)
    if client is None or not right_secret:
        raise TokenRefusal(401, "invalid_client", "The client id or its secret is wrong.")
    if form.get("audience") != client["audience"]:
        raise TokenRefusal(400, "invalid_target", "The audience is missing or not this API.")
    authorised = client["scopes"].split()
    granted = [scope for scope in form.get("scope", "").split() if scope in authorised]
    token = secrets.token_urlsafe(32)
    now = store.now().timestamp()
    with store.transaction():
        store.write("DELETE FROM token WHERE expires_at <= ?", now)
        store.write(
            "INSERT INTO token VALUES (?, ?, ?, ?)",
            hash_of(token),
            client["partner_id"],
            " ".join(granted),
            now + client["token_seconds"],
        )
    return {
        "access_token": token,
        "scope": " ".join(granted),
        "iss": issuer,
        "partnerId": client["partner_id"],
        "token_type": "bearer",
        "expires_in": client["token_seconds"],
        "jti": str(uuid.uuid4()),
    }


def caller_of(store: Store, authorization: str | None) -> Caller:
    """Who sends a request.

    Args:
        store: The sandbox's store.
        authorization: The request's header, if it has one.

    Raises:
        Refusal: 401; it does not say whether the token is unknown or has run out, as Kiva's does
            not either.
    """
    kind, _, token = (authorization or "").partition(" ")
    if kind.lower() == "bearer" and token:
        row = store.row(
            "SELECT partner_id, scopes FROM token WHERE token_hash = ? AND expires_at > ?",
            hash_of(token.strip()),
            store.now().timestamp(),
        )
        if row:
            return Caller(row["partner_id"], frozenset(row["scopes"].split()))
    raise Refusal(
        401, "sandbox.unauthorized", "A valid token is needed.", {"WWW-Authenticate": "Bearer"}
    )
