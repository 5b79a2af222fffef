"""``export``: what an auditor gets, on both engines."""

import csv
import hashlib
import json
import re
from datetime import datetime

import pytest

from kiva_pipeline.reporting import audit_export
from kiva_pipeline_tests.live.ledgers import ledger_at
from kiva_pipeline_tests.live.partners import Partner
from kiva_pipeline_tests.live.senders import Kiva, send
from kiva_pipeline_tests.partner_api.servers import Reply
from kiva_pipeline_tests.submission import books

ROWS = [
    books.report_row("=HYPERLINK(1)", 100_05, client_id="+1", currency="TJS"),
    books.report_row("000002", 7_000, client_id="@SUM(A1)", currency="UGX", currency_digits=0),
    books.report_row("000003", 1_234, client_id="-3", currency="KWD", currency_digits=3),
    books.report_row("אבג", 9_007_199_254_740_993, client_id="C\n=1", currency="TJS"),
    books.blocked(books.report_row("000005")),
]


@pytest.fixture
def partner(ledger_url, tmp_path):
    with Kiva() as kiva, ledger_at(ledger_url) as book:
        kiva.answer = lambda asked: (
            Reply({"total_records": 0, "data": []})
            if asked.method == "GET"
            else Reply({"upload_id": 1, "problems": [
                {"loan_id": "000003", "code": "late", "details": "=cmd|'/C calc'!A0",
                 "severity": "error"},
            ]})
        )  # fmt: skip
        send(book, kiva.url, tmp_path, rows=ROWS)
        books.mark(book, paused_by="=Amina", paused_why="holiday")
    return Partner(tmp_path, ledger_url)


def table(folder, name, **which):
    """A file's rows, those with these values only."""
    with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if which.items() <= row.items()]


def test_money_is_in_whole_units_with_its_currency_and_to_the_last_digit(partner, tmp_path):
    assert partner.types("export", "--to", tmp_path / "audit") == 0
    rows = table(tmp_path / "audit", "submission", period="2026-09")
    assert len(rows) == len(ROWS)
    shown = {row["business_id"]: (row["amount"], row["currency"]) for row in rows}
    assert shown == {
        "'=HYPERLINK(1)": ("100.05", "TJS"),
        "000002": ("7000", "UGX"),
        "000003": ("1.234", "KWD"),
        "אבג": ("90071992547409.93", "TJS"),
        "000005": ("100.00", "TJS"),
    }
    totals = {(r["total"], r["currency"], r["total_minor_units"])
              for r in table(tmp_path / "audit", "attempt")}  # fmt: skip
    # A request with two currencies has no total in whole units.
    assert ("", "", str(7_000 + 1_234)) in totals


def test_no_cell_is_a_formula(partner, tmp_path):
    assert partner.types("export", "--to", tmp_path / "audit") == 0
    for file in (tmp_path / "audit").glob("*.csv"):
        for row in table(tmp_path / "audit", file.stem):
            for cell in row.values():
                assert not re.match(r"[=+\-@\t\r\n]", cell), cell
    rows = table(tmp_path / "audit", "submission", period="2026-09")
    rows = {row["business_id"]: row for row in rows}
    assert rows["000003"]["reasons"] == "Kiva refused it. late: =cmd|'/C calc'!A0"
    assert rows["000003"]["client_id"] == "'-3"


def test_the_files_show_decisions_requests_and_their_story_and_no_hash(partner, tmp_path):
    assert partner.types("export", "--to", tmp_path / "audit") == 0
    audit = tmp_path / "audit"
    files = {file.stem for file in audit.glob("*.csv")}
    assert files == {"ledger", "submission", "attempt", "event", "approval", "report_month"}
    assert not [
        c for name in ("submission", "attempt") for c in table(audit, name)[0] if "hash" in c
    ]
    assert not [c for c in table(audit, "attempt")[0] if "sha" in c]
    told = table(audit, "event", business_id="000005")
    assert [(e["kind"], e["month"], e["to_state"]) for e in told] == [
        ("repayment", "2026-08", "accepted"),
        ("repayment", "2026-09", "blocked"),
    ]
    asked = [e for e in table(audit, "event") if e["action"] == "intended"]
    assert {e["kind"] for e in asked} == {"repayment"}
    assert table(audit, "ledger")[0]["paused_by"] == "'=Amina"


def test_a_month_shows_what_belongs_to_it(partner, tmp_path):
    assert partner.types("export", "--to", tmp_path / "audit", "--month", "2026-07") == 0
    assert table(tmp_path / "audit", "submission") == table(tmp_path / "audit", "attempt") == []
    assert len(table(tmp_path / "audit", "ledger")) == 1
    assert partner.types("export", "--to", tmp_path / "audit", "--month", "2026-09") == 0
    assert len(table(tmp_path / "audit", "submission")) == len(ROWS)


def test_the_manifest_vouches_for_each_file(partner, tmp_path, capsys):
    assert partner.types("export", "--to", tmp_path / "audit", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    manifest = json.loads((tmp_path / "audit" / "manifest.json").read_text())
    assert told == {"folder": str(tmp_path / "audit"), **manifest}
    assert (manifest["partner"], manifest["environment"]) == ("145", "sandbox")
    for made in manifest["files"]:
        content = (tmp_path / "audit" / made["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == made["sha256"]
        assert made["rows"] == len(table(tmp_path / "audit", made["file"].removesuffix(".csv")))
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "audit").iterdir()} == {0o600}
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700


def test_a_ledger_is_read_a_block_at_a_time(partner, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_export, "_AT_ONCE", 2)
    assert partner.types("export", "--to", tmp_path / "audit") == 0
    assert len(table(tmp_path / "audit", "submission")) == 2 * len(ROWS)


def test_an_earlier_export_is_replaced_and_other_files_stay(partner, tmp_path):
    audit = tmp_path / "audit"
    audit.mkdir()
    (audit / "letter.txt").write_text("Dear auditor")
    for _ in range(2):
        assert partner.types("export", "--to", audit) == 0
    assert (audit / "letter.txt").exists()
    assert len(list(audit.iterdir())) == 8


def test_what_cant_be_exported_is_told(ledger_url, tmp_path, capsys):
    partner = Partner(tmp_path, ledger_url)
    assert partner.types("export", "--to", tmp_path / "audit") == 5
    assert "There is no ledger yet" in capsys.readouterr().err
    with ledger_at(ledger_url):
        pass
    (tmp_path / "file").touch()
    assert partner.types("export", "--to", tmp_path / "file") == 5
    assert "can't be written" in capsys.readouterr().err
    assert partner.types("export", "--to", tmp_path / "audit", "--month", "soon") == 2


def test_dates_and_instants_are_iso(partner, tmp_path):
    assert partner.types("export", "--to", tmp_path / "audit") == 0
    row = table(tmp_path / "audit", "submission", period="2026-09")[0]
    assert row["effective_on"] == "2026-09-30"
    assert datetime.fromisoformat(row["updated_at"]).tzinfo
