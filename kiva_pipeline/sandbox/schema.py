"""The sandbox's tables.

Amounts are exact decimal text and never REAL; instants are epoch seconds. A change here needs a
higher ``SCHEMA_VERSION``: a practice file is not migrated but made anew.
"""

SCHEMA_VERSION = 1

SCHEMA = (
    """
    CREATE TABLE partner (
        partner_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        column_format TEXT,           -- two_column | three_column; NULL: either is taken
        open_period TEXT NOT NULL     -- the month that a repayment posted now lands in
    )
    """,
    """
    CREATE TABLE client (
        client_id TEXT PRIMARY KEY,
        secret_hash TEXT NOT NULL,
        partner_id TEXT NOT NULL REFERENCES partner,
        audience TEXT NOT NULL,
        scopes TEXT NOT NULL,         -- space-separated
        token_seconds INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE token (
        token_hash TEXT PRIMARY KEY,
        partner_id TEXT NOT NULL REFERENCES partner,
        scopes TEXT NOT NULL,
        expires_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE config_list (
        partner_id TEXT NOT NULL REFERENCES partner,
        name TEXT NOT NULL,           -- activities | themes | locales | locations
        entries TEXT NOT NULL,        -- JSON list, as the API answers it
        PRIMARY KEY (partner_id, name)
    )
    """,
    """
    CREATE TABLE loan (
        kiva_id INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid TEXT NOT NULL UNIQUE,
        partner_id TEXT NOT NULL REFERENCES partner,
        internal_loan_id TEXT NOT NULL,
        internal_client_id TEXT NOT NULL,
        borrower_count INTEGER NOT NULL,
        name TEXT NOT NULL,
        location TEXT NOT NULL,
        currency TEXT NOT NULL,
        price TEXT NOT NULL,          -- gross principal in local currency
        status TEXT NOT NULL,
        status_since INTEGER,         -- NULL: before the sandbox began
        created_at INTEGER NOT NULL,
        last_reported TEXT,           -- cumulative principal of the last finalized period
        schedule TEXT,                -- JSON list of the draft; NULL: not known
        draft_uuid TEXT,              -- NULL: seeded, not published from a draft
        search_text TEXT NOT NULL,    -- casefolded, for `query`
        UNIQUE (partner_id, internal_loan_id)
    )
    """,
    # A page of GET /loans is found in this index alone, whatever the offset and the statuses.
    "CREATE INDEX loan_in_order ON loan (partner_id, kiva_id, status)",
    """
    CREATE TABLE loan_count (         -- kept by the triggers: counting 100,000 loans a page is slow
        partner_id TEXT NOT NULL,
        status TEXT NOT NULL,
        loans INTEGER NOT NULL,
        PRIMARY KEY (partner_id, status)
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER loan_begins AFTER INSERT ON loan BEGIN
        INSERT INTO loan_count VALUES (new.partner_id, new.status, 1)
            ON CONFLICT DO UPDATE SET loans = loans + 1;
    END
    """,
    """
    CREATE TRIGGER loan_changes AFTER UPDATE OF status ON loan BEGIN
        UPDATE loan_count SET loans = loans - 1
            WHERE partner_id = old.partner_id AND status = old.status;
        INSERT INTO loan_count VALUES (new.partner_id, new.status, 1)
            ON CONFLICT DO UPDATE SET loans = loans + 1;
    END
    """,
    """
    CREATE TABLE draft (
        uuid TEXT PRIMARY KEY,
        partner_id TEXT NOT NULL REFERENCES partner,
        business_key TEXT NOT NULL,   -- '' while the draft names no loan
        body TEXT NOT NULL,           -- JSON as posted, without the photo; amounts as text
        photo BLOB,
        photo_mime TEXT,
        received_at REAL NOT NULL,
        request_id TEXT,
        published_at REAL
    )
    """,
    "CREATE INDEX draft_by_key ON draft (partner_id, business_key)",
    """
    CREATE TABLE upload (
        upload_id INTEGER PRIMARY KEY AUTOINCREMENT,
        partner_id TEXT NOT NULL REFERENCES partner,
        period TEXT NOT NULL,
        received_at REAL NOT NULL,
        request_id TEXT
    )
    """,
    """
    CREATE TABLE repayment (
        id INTEGER PRIMARY KEY,       -- in the order of arrival: the highest is the latest
        upload_id INTEGER NOT NULL REFERENCES upload,
        partner_id TEXT NOT NULL,
        loan_id TEXT NOT NULL,
        client_id TEXT,
        period TEXT NOT NULL,
        amount TEXT NOT NULL,         -- cumulative principal repaid
        error TEXT                    -- code of the problem; NULL: applied
    )
    """,
    "CREATE INDEX repayment_by_loan ON repayment (loan_id)",
    """
    CREATE TABLE archive (
        archive_id INTEGER PRIMARY KEY AUTOINCREMENT,
        partner_id TEXT NOT NULL REFERENCES partner,
        received_at REAL NOT NULL,
        request_id TEXT
    )
    """,
    """
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        archive_id INTEGER NOT NULL REFERENCES archive,
        partner_id TEXT NOT NULL,
        loan_id TEXT NOT NULL,
        client_id TEXT,
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        image_url TEXT,
        content_hash TEXT NOT NULL,   -- of subject and body
        eligible INTEGER NOT NULL     -- 0: no such loan at Kiva, PA2 will not publish it
    )
    """,
    "CREATE INDEX journal_by_content ON journal (partner_id, loan_id, content_hash)",
    """
    CREATE TABLE request (
        id INTEGER PRIMARY KEY,
        request_id TEXT,              -- X-Request-ID, when the client sent one
        method TEXT NOT NULL,
        path TEXT NOT NULL,           -- without the query: it may hold a name
        endpoint TEXT NOT NULL,
        received_at REAL NOT NULL,
        received_bytes INTEGER NOT NULL DEFAULT 0,
        status INTEGER,               -- NULL: not answered
        milliseconds REAL
    )
    """,
)
