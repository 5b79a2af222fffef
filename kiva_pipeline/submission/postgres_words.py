"""PostgreSQL's errors in words, each with what to do: pure.

What must not break: no server's text is passed on, because it may quote a row.
"""

_AGAIN = "Run again: what was under way is then marked as in doubt, and nothing is sent twice."
_REFUSED = (
    "did not let us in: the user or the password is wrong",
    (
        "Check the user in state.ledger_url (or PGUSER) and the password in"
        " KIVA_PIPELINE_LEDGER_PASSWORD, PGPASSWORD or ~/.pgpass, and the server's pg_hba.conf."
    ),
)
_NO_DATABASE = (
    "can't be opened: there is no such database on the server",
    (
        "Create it (`createdb --encoding=UTF8 --template=template0 NAME`), or correct"
        " state.ledger_url. If it was there before, it is lost: restore a backup."
    ),
)
_LOST = ("was lost: the connection broke or the server stopped", _AGAIN)
_TOO_MANY = (
    "can't be opened: the server has no connection left",
    "Each run needs up to four. Close others, or raise max_connections.",
)
_STARTING = ("can't be opened: the server is starting or stopping", "Try again in a moment.")
_UNREACHABLE = (
    "can't be reached: the server does not answer at that address",
    "Check the host and port in state.ledger_url (or PGHOST and PGPORT), and that the server runs.",
)

# By the code of the SQL standard, or by its class (the first two characters).
_BY_STATE = {
    "28": _REFUSED,
    "3D": _NO_DATABASE,
    "08": _LOST,
    "08P01": (
        "was lost: something between us and the server, such as a pooler, would not go on",
        (
            "Name the server itself in state.ledger_url, or a pool in session mode (pgbouncer:"
            " pool_mode = session) with at least four connections."
        ),
    ),
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _STARTING,
    "57P05": _LOST,
    "25P03": (
        "was lost: a transaction was open for longer than the server allows",
        (
            "Run again when the machine is less busy, or ask the administrator for a longer"
            " idle_in_transaction_session_timeout."
        ),
    ),
    "25006": ("is read-only for us", "Name the primary server, and a user who may write there."),
    "42501": (
        "does not let us do that: a right is missing",
        (
            "Make our user the owner of the ledger's database, or grant it all rights on the schema"
            " and on the ledger's tables."
        ),
    ),
    "53300": _TOO_MANY,
    "53100": ("can't grow: the server's disk is full", "Make room and run again."),
    "55P03": (
        "is in use: another program has been writing for more than 30 s",
        "Try again when it has finished.",
    ),
    "57014": (
        "took too long to answer, and we gave up",
        "Run again when the server is less busy; if it stays so, look at the server's log.",
    ),
    "XX001": ("is damaged", "Restore a backup."),
}
# Before there is a session, there is no code: these are the words of libpq and of the server.
_BY_TEXT = {
    "password authentication failed": _REFUSED,
    "no password supplied": _REFUSED,
    "no pg_hba.conf entry": _REFUSED,
    "authentication failed": _REFUSED,
    "role ": _REFUSED,
    "does not exist": _NO_DATABASE,
    "too many clients": _TOO_MANY,
    "remaining connection slots": _TOO_MANY,
    "no more connections allowed": _TOO_MANY,
    "the database system is": _STARTING,
    "certificate": (
        "can't be opened: the server's certificate does not fit",
        "Check sslmode and sslrootcert in state.ledger_url, and the host's name.",
    ),
    "SSL": (
        "can't be opened: client and server don't agree on encryption",
        "Check sslmode in state.ledger_url.",
    ),
    "read-write": (
        "can't be opened for writing: the servers named are read replicas",
        "Name the primary server in state.ledger_url.",
    ),
    "server closed the connection": _LOST,
    "connection to server was lost": _LOST,
    "the connection is closed": _LOST,
    "the connection is lost": _LOST,
    "consuming input failed": _LOST,
    "query_wait_timeout": _TOO_MANY,
    "Connection refused": _UNREACHABLE,
    "No such file or directory": _UNREACHABLE,
    "could not translate host name": _UNREACHABLE,
    "failed to resolve host": _UNREACHABLE,
    "timeout": _UNREACHABLE,
    "timed out": _UNREACHABLE,
    "No route to host": _UNREACHABLE,
    "Network is unreachable": _UNREACHABLE,
}


def in_words(state: str) -> tuple[str, str] | None:
    """What a code of the SQL standard means for the ledger, and what to do; None if we don't know.

    Args:
        state: Five characters, such as ``57P01``.
    """
    return _BY_STATE.get(state) or _BY_STATE.get(state[:2])


def connect_words(text: str) -> tuple[str, str] | None:
    """The same for an error without a code; the text itself is not passed on."""
    return next((told for part, told in _BY_TEXT.items() if part in text), None)
