import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path
from shutil import copy

import pandas as pd
import pytest
import yaml

from kiva_pipeline.demo_home import demo_yaml
from kiva_pipeline.errors import SettingsError, SourceError, SourceUnavailableError
from kiva_pipeline.mis.demo import DemoSource
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.mis.records import (
    BALANCE_RECORDS,
    INSTALMENT_RECORDS,
    LOAN_RECORDS,
    NOTE_RECORDS,
    canonical_balances,
    canonical_instalments,
    canonical_loans,
    canonical_notes,
)
from kiva_pipeline.mis.source import RAW_BALANCES, RAW_INSTALMENTS, RAW_LOANS, RAW_NOTES
from kiva_pipeline.money import to_decimal
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis import Dirt, create_demo_mis, loans_at_kiva, planted
from kiva_pipeline.settings import NoteMark, TransactionKind, parse_settings

TODAY = date(2026, 11, 6)
FIRST, OPEN, NOW, LAST = Month(2025, 11), Month(2026, 10), Month(2026, 11), Month(2027, 2)
MARK = NoteMark(kind="column", value="for_kiva")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "mis.sqlite"
    create_demo_mis(path, today=TODAY)
    return path


@pytest.fixture(scope="module")
def source(path: Path) -> Iterator[DemoSource]:
    with DemoSource(path, MARK) as source:
        yield source


def query(path: Path, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, values).fetchall()


def months() -> Iterator[Month]:
    month = FIRST
    while month <= LAST:
        yield month
        month = month.plus(1)


def all_ids(path: Path) -> list[str]:
    return [loan_id for (loan_id,) in query(path, "SELECT loan_id FROM loans")]


def test_each_month_hands_over_what_it_counts_and_each_loan_is_in_one_month(
    path: Path, source: DemoSource
) -> None:
    loans, instalments, notes = set(), 0, set()
    for month in months():
        counts = source.counts(month)
        frame, due, written = source.loans(month), source.instalments(month), source.notes(month)
        assert (counts.loans, counts.instalments, counts.notes) == (
            len(frame), len(due), len(written),
        )  # fmt: skip
        assert set(due["loan_id"]) <= set(frame["loan_id"])
        assert not loans & set(frame["source_key"])
        loans |= set(frame["source_key"])
        instalments += len(due)
        notes |= set(written["source_key"])
    tagged = {pk for (pk,) in query(path, "SELECT id FROM loans WHERE funding_source = 'KIVA'")}
    assert loans == tagged
    assert notes == {pk for (pk,) in query(path, "SELECT id FROM notes WHERE for_kiva = 1")}
    of_tagged = "SELECT count(*) FROM instalments i JOIN loans l ON l.id = i.loan_pk"
    assert query(path, f"{of_tagged} WHERE funding_source = 'KIVA'") == [(instalments,)]


def test_the_frames_have_the_columns_of_the_contract_also_without_rows(source: DemoSource) -> None:
    empty = Month(1999, 1)
    for month in (NOW, empty):
        assert tuple(source.loans(month).columns) == RAW_LOANS
        assert tuple(source.instalments(month).columns) == RAW_INSTALMENTS
        assert tuple(source.notes(month).columns) == RAW_NOTES
    assert source.counts(empty).loans == 0
    loans = canonical_loans(source.loans(empty))
    assert len(canonical_instalments(source.instalments(empty), loans)) == 0
    assert list(source.balances(["unknown"], TODAY)) == []
    assert list(source.balances([], TODAY)) == []


AMOUNTS = {
    "disbursed", "disbursed_later", "repaid", "charged_back", "recovered", "written_off", "unknown",
}  # fmt: skip


def test_the_balances_of_every_month_end_are_what_the_bookings_add_up_to(
    path: Path, source: DemoSource
) -> None:
    column_of = defaultdict(
        lambda: "unknown", disbursement="disbursed", repayment="repaid", down_payment="repaid",
        chargeback="charged_back", recovery="recovered", write_off="written_off", fee="nothing",
    )  # fmt: skip
    bookings = query(
        path,
        "SELECT loan_pk, type, transaction_date, principal_minor FROM transactions"
        " WHERE is_reversed = 0",
    )
    ids = dict(query(path, "SELECT id, loan_id FROM loans"))
    seen = set()
    for month in months():
        expected: dict[tuple[str, str], int] = defaultdict(int)
        for pk, type_, day, principal in bookings:
            if date.fromisoformat(day) <= month.last_day:
                expected[ids[pk], column_of[type_]] += principal
            elif type_ == "disbursement":
                expected[ids[pk], "disbursed_later"] += principal
        frame = pd.concat(source.balances(all_ids(path), month.last_day), ignore_index=True)
        frame = canonical_balances(frame)
        assert len(frame) == len(ids)
        assert list(frame["loan_id"]) == sorted(ids.values())
        for name in AMOUNTS:
            found = frame.groupby("loan_id")[name].sum()
            assert found.to_dict() == {i: expected[i, name] for i in set(ids.values())}
            seen |= {name} if int(found.sum()) else set()
        seen |= set(frame["unknown_types"])
    assert seen >= AMOUNTS
    assert "goodwill_credit" in seen


def test_types_of_transactions_count_as_the_settings_say(path: Path) -> None:
    def sums(types: dict[str, TransactionKind]) -> dict[str, int]:
        with DemoSource(path, MARK, types) as source:
            frame = pd.concat(source.balances(all_ids(path), OPEN.last_day))
        told = {name: int(frame[f"{name}_minor"].sum()) for name in AMOUNTS}
        return told | {"types": int(frame["unknown_types"].notna().sum())}

    plain = sums({})
    gift, back = plain["unknown"], plain["recovered"]
    assert min(gift, back, plain["charged_back"]) > 0
    assert sums({"goodwill_credit": "ignored"}) == plain | {"unknown": 0, "types": 0}
    assert sums({"goodwill_credit": "repaid", "recovery": "repaid"}) == plain | {
        "unknown": 0, "types": 0, "recovered": 0, "repaid": plain["repaid"] + gift + back,
    }  # fmt: skip
    odd = "it's a 'type'; DROP TABLE loans"
    assert sums({odd: "repaid", "chargeback": "ignored"}) == plain | {"charged_back": 0}


@pytest.mark.parametrize("fixed", ["write_off", "disbursement"])
def test_a_write_off_or_a_disbursal_can_not_be_said_to_be_a_repayment(
    path: Path, fixed: str
) -> None:
    with pytest.raises(SettingsError, match=rf"transaction_types: “{fixed}” can't be repaid"):
        DemoSource(path, MARK, {fixed: "repaid"})


def test_the_settings_types_reach_the_source(path: Path) -> None:
    content = yaml.safe_load(demo_yaml(TODAY, FIRST))
    content["source"]["path"] = str(path)
    content["repayments"]["transaction_types"] = {"goodwill_credit": "ignored"}
    with open_source(parse_settings(content, Path("partner.yaml"))) as source:
        frame = pd.concat(source.balances(all_ids(path), OPEN.last_day))
    assert frame["unknown_minor"].sum() == 0


def test_balances_come_in_chunks_in_the_order_of_the_ids_whatever_is_asked(
    path: Path, source: DemoSource
) -> None:
    known = all_ids(path)
    asked = [
        *(f"nobody {n}" for n in range(25_000)),
        *reversed(known),
        *known,
        "'; DROP TABLE loans",
    ]
    chunks = list(source.balances(asked, OPEN.last_day))
    frame = pd.concat(chunks, ignore_index=True)
    assert tuple(frame.columns) == RAW_BALANCES
    assert list(frame["loan_id"]) == sorted(known)
    untagged = query(path, "SELECT loan_id FROM loans WHERE funding_source = 'OWN'")
    assert {loan_id for (loan_id,) in untagged} <= set(frame["loan_id"])


RECORD_CODES = {
    Dirt.NO_CLIENT: "no_client_id",
    Dirt.NO_CURRENCY: "no_currency",
    Dirt.DUPLICATE_LOAN_ID: "duplicate_loan_id",
    Dirt.AMOUNT_NOT_A_NUMBER: "principal_unreadable",
    Dirt.AMOUNT_WITH_FRACTION: "principal_has_fraction",
    Dirt.NO_DISBURSAL_DAY: "disbursed_on_unreadable",
    Dirt.DISBURSAL_DAY_NOT_A_DATE: "disbursed_on_unreadable",
    Dirt.WAIVER_NOT_A_DATE: "waiver_signed_on_unreadable",
}


def test_records_flag_what_was_planted_and_nothing_else(path: Path, source: DemoSource) -> None:
    spoiled = planted(path)
    for month in months():
        loans = canonical_loans(source.loans(month))
        broken = LOAN_RECORDS.explain(loans["problems"])
        found = defaultdict(set)
        for row, code in zip(broken["row"], broken["code"], strict=True):
            found[code].add(loans["loan_id"][row])
        expected = defaultdict(set)
        for kind, code in RECORD_CODES.items():
            expected[code] |= set(spoiled[kind]) & set(loans["loan_id"])
        assert {c: i for c, i in found.items() if i} == {c: i for c, i in expected.items() if i}
        if month == NOW:
            assert set(found) == set(RECORD_CODES.values())


def test_every_kind_of_draft_dirt_comes_through_the_source(path: Path, source: DemoSource) -> None:
    spoiled = planted(path)
    loans = pd.concat([canonical_loans(source.loans(m)) for m in months()], ignore_index=True)
    raw = pd.concat(
        [canonical_instalments(source.instalments(m), canonical_loans(source.loans(m)))
         for m in months()]
    )  # fmt: skip
    broken = INSTALMENT_RECORDS.explain(raw.reset_index(drop=True)["problems"])
    by_code = {
        code: set(raw.iloc[broken.loc[broken["code"] == code, "row"]]["loan_id"])
        for code in ("due_on_unreadable", "principal_unreadable")
    }
    assert by_code["due_on_unreadable"] == set(spoiled[Dirt.INSTALMENT_DAY_NOT_A_DATE])
    assert by_code["principal_unreadable"] == set(spoiled[Dirt.INSTALMENT_NOT_A_NUMBER])
    sums = raw.groupby("loan_id")["principal"].sum()
    first_due = raw.groupby("loan_id")["due_on"].min()
    day, of = loans["disbursed_on"], loans["loan_id"]
    alone = loans["group_id"] == ""
    by_group = loans[~alone].groupby("group_id")["loan_id"].transform("size")
    conditions = {
        Dirt.ZERO_AMOUNT: loans["principal"] == 0,
        Dirt.NEGATIVE_AMOUNT: loans["principal"] < 0,
        Dirt.CURRENCY_NOT_OF_PARTNER: loans["currency"] == "ZMW",
        Dirt.NO_WAIVER: loans["waiver_signed_on"].isna()
        & ~of.isin(spoiled[Dirt.WAIVER_NOT_A_DATE]),
        Dirt.WAIVER_IN_FUTURE: loans["waiver_signed_on"] > pd.Timestamp(TODAY),
        Dirt.DISBURSED_TOO_FAR_AHEAD: (day - pd.Timestamp(TODAY)).dt.days > 90,
        Dirt.NO_SCHEDULE: ~of.isin(raw["loan_id"]),
        Dirt.SCHEDULE_BEFORE_DISBURSAL: of.map(first_due) <= day,
        Dirt.NO_PHOTO: loans["photo_ref"] == "",
        Dirt.PHOTO_NOT_AN_IMAGE: loans["photo_mime"] == "application/octet-stream",
        Dirt.PHOTO_TOO_BIG: loans["photo_bytes"] > 8_000_000,
        Dirt.GENDER_ODDLY_SPELLED: loans["gender"] == "Mme",
        Dirt.GENDER_UNKNOWN: loans["gender"] == "see form",
        Dirt.NO_FIRST_NAME: (loans["first_name"] == "") & (loans["client_id"] != ""),
        Dirt.NO_LAST_NAME: (loans["last_name"] == "") & (loans["client_id"] != ""),
        Dirt.NO_DESCRIPTION: loans["description"] == "",
        Dirt.NO_LOAN_USE: loans["loan_use"] == "",
        Dirt.FIRST_PERSON: loans["description"].str.contains(r"\bI am\b"),
        Dirt.UNKNOWN_ACTIVITY: loans["activity"] == "Misc. (to be classified)",
        Dirt.UNKNOWN_THEME: loans["theme"] == "Head office pilot 3",
        Dirt.UNKNOWN_LOCATION: loans["location"] == "Branch 07",
        Dirt.UNKNOWN_LANGUAGE: loans["language"] == "Elvish",
    }
    for kind, condition in conditions.items():
        found = set(of[condition.fillna(value=False)])
        assert found == set(spoiled[kind]), kind.name
    assert set(of[(day >= "2026-10-01") & (day < "2026-10-08")]) >= set(
        spoiled[Dirt.DISBURSED_TOO_LONG_AGO]
    )
    readable = of.isin(sums.index) & loans["principal"].gt(0).fillna(value=False)
    clash = set(of[readable & (of.map(sums) != loans["principal"]).fillna(value=True)])
    clash -= set(spoiled[Dirt.DUPLICATE_LOAN_ID] + spoiled[Dirt.INSTALMENT_NOT_A_NUMBER])
    assert clash == set(spoiled[Dirt.SCHEDULE_NOT_ADDING_UP])
    lonely = set(loans.loc[by_group.index[by_group == 1], "group_id"])
    assert set(spoiled[Dirt.GROUP_OF_ONE]) <= lonely
    assert len(lonely) == len(spoiled[Dirt.GROUP_OF_ONE] + spoiled[Dirt.MEMBER_WITH_OTHER_DAY])
    currencies = loans[~alone].groupby("group_id")["currency"].nunique()
    assert set(currencies.index[currencies > 1]) == set(spoiled[Dirt.MEMBER_WITH_OTHER_CURRENCY])


def test_every_kind_of_report_dirt_shows_against_what_kiva_knows(
    path: Path, source: DemoSource
) -> None:
    seeds = {s.internal_loan_id: s for s in loans_at_kiva(path) if s.borrower_count == 1}
    frames = source.balances(list(seeds), OPEN.last_day)
    rows = canonical_balances(pd.concat(frames, ignore_index=True)).to_dict("records")
    found: dict[Dirt, set[str]] = defaultdict(set)
    found[Dirt.UNKNOWN_TO_MIS] = set(seeds) - {row["loan_id"] for row in rows}
    for row in rows:
        seed, digits = seeds[row["loan_id"]], row["currency_digits"]
        disbursed, repaid = (to_decimal(row[c], digits) for c in ("disbursed", "repaid"))
        undone = disbursed == 0
        shows = {
            Dirt.OTHER_CURRENCY_AT_KIVA: seed.currency != row["currency"],
            Dirt.OTHER_PRICE_AT_KIVA: not undone and f"{disbursed:f}" != seed.price,
            Dirt.OTHER_CLIENT_AT_KIVA: seed.internal_client_id != row["client_id"],
            Dirt.REPAID_ABOVE_PRINCIPAL: not undone and repaid > disbursed,
            Dirt.LOWER_THAN_REPORTED: not undone
            and f"{seed.last_reported or 0}" != "0"
            and repaid < to_decimal(int((seed.last_reported or "0").replace(".", "")), digits),
            Dirt.DISBURSAL_UNDONE: undone,
            Dirt.RECOVERED: row["recovered"] != 0,
            Dirt.CHARGED_BACK: row["charged_back"] != 0,
            Dirt.UNKNOWN_TRANSACTION: row["unknown"] != 0,
        }
        for kind, there in shows.items():
            if there:
                found[kind].add(row["loan_id"])
    spoiled = planted(path)
    for kind, ids in found.items():
        assert ids == set(spoiled[kind]), kind.name
    assert len(found) == 10


def test_a_group_s_members_are_its_loans_of_one_day_and_a_lost_one_is_missed(
    path: Path, source: DemoSource
) -> None:
    groups = {
        s.internal_loan_id: s.borrower_count for s in loans_at_kiva(path) if s.borrower_count > 1
    }
    members = source.group_members([*groups, "G-0-2026-01-01"])
    assert list(members.columns) == ["group_id", "loan_id"]
    found = members.groupby("group_id").size().to_dict()
    lost = planted(path)[Dirt.GROUP_MEMBER_LOST]
    assert found == {g: n - (g in lost) for g, n in groups.items()}
    assert members["loan_id"].is_unique


def test_notes_are_handed_over_by_their_mark_and_remarks_never(tmp_path: Path, path: Path) -> None:
    mis = Path(copy(path, tmp_path / "mis.sqlite"))
    query(mis, "UPDATE notes SET for_kiva = 0, category = 'staff'")
    query(mis, "UPDATE notes SET written_on = '2026-10-10', subject = 'Remark', body = 'secret'")
    (by_column,), (by_type,), (by_subject,), (by_body,), (inside,) = query(
        mis, "SELECT id FROM notes ORDER BY id LIMIT 5"
    )
    query(mis, "UPDATE notes SET for_kiva = 1 WHERE id = ?", by_column)
    query(mis, "UPDATE notes SET category = 'kiva journal' WHERE id = ?", by_type)
    query(mis, "UPDATE notes SET subject = '[Kiva] News' WHERE id = ?", by_subject)
    query(mis, "UPDATE notes SET body = '[Kiva] Öffnung 開店' WHERE id = ?", by_body)
    query(mis, "UPDATE notes SET body = 'not [Kiva], [kiva] neither' WHERE id = ?", inside)
    marks = {
        NoteMark(kind="column", value="for_kiva"): [by_column],
        NoteMark(kind="type", value="kiva journal"): [by_type],
        NoteMark(kind="prefix", value="[Kiva]"): [by_subject, by_body],
    }
    for mark, expected in marks.items():
        with DemoSource(mis, mark) as source:
            notes = source.notes(OPEN)
            assert list(notes["source_key"]) == expected
            assert source.counts(OPEN).notes == len(expected)
    assert list(notes["subject"]) == ["News", "Remark"]
    assert list(notes["body"]) == ["secret", "Öffnung 開店"]


def test_a_note_on_a_member_s_loan_goes_by_the_group_s_id(tmp_path: Path, path: Path) -> None:
    mis = Path(copy(path, tmp_path / "mis.sqlite"))
    pk, group, day = query(mis, "SELECT id, group_id, disbursed_on FROM loans"
                                " WHERE group_id IS NOT NULL AND disbursed_on < '2026-10-01'")[0]  # fmt: skip
    query(mis, "UPDATE notes SET loan_pk = ?, for_kiva = 1, written_on = '2026-10-05'", pk)
    with DemoSource(mis, MARK) as source:
        notes = source.notes(OPEN)
    assert set(notes["loan_id"]) == {f"{group}-{day}"}
    assert set(notes["client_id"]) == {group}


def test_note_dirt_comes_through(path: Path, source: DemoSource) -> None:
    notes = pd.concat([canonical_notes(source.notes(m)) for m in months()], ignore_index=True)
    counts = NOTE_RECORDS.counts(notes["problems"].to_numpy())
    spoiled = planted(path)
    assert counts["no_loan_id"] == len(spoiled[Dirt.NOTE_WITHOUT_LOAN]) > 0
    assert counts["written_on_unreadable"] == len(spoiled[Dirt.NOTE_DAY_NOT_A_DATE]) > 0
    empty = sorted(notes.loc[notes["body"] == "", "loan_id"])
    assert empty == sorted(spoiled[Dirt.NOTE_WITHOUT_BODY])
    no_subject = sorted(notes.loc[notes["subject"] == "", "loan_id"])
    assert no_subject == sorted(spoiled[Dirt.NOTE_WITHOUT_SUBJECT])
    at_kiva = {seed.internal_loan_id for seed in loans_at_kiva(path)} | {""}
    assert set(notes["loan_id"]) - at_kiva == set(spoiled[Dirt.NOTE_BEFORE_KIVA])


def test_photos_are_what_the_facts_say_also_from_several_threads(source: DemoSource) -> None:
    loans = source.loans(NOW).dropna(subset=["photo_ref"]).drop_duplicates("photo_ref")
    with ThreadPoolExecutor(4) as pool:
        photos = list(pool.map(source.photo, loans["photo_ref"]))
    assert [hashlib.sha256(p).hexdigest() for p in photos] == list(loans["photo_sha256"])
    assert [len(p) for p in photos] == list(loans["photo_bytes"])
    with pytest.raises(SourceError, match="no longer in the MIS"):
        source.photo("P-none")


def test_reading_leaves_the_mis_as_it_is(path: Path, source: DemoSource) -> None:
    before = path.read_bytes()
    source.loans(NOW)
    list(source.balances(all_ids(path), TODAY))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        source._connection.execute("DELETE FROM loans")


def test_what_is_no_demo_mis_is_refused_with_the_fix(tmp_path: Path, path: Path) -> None:
    with pytest.raises(
        SourceUnavailableError, match=r"no demo MIS .*none\.sqlite.*kiva-pipeline demo"
    ):
        DemoSource(tmp_path / "none.sqlite", MARK)
    (tmp_path / "text").write_text("not a database " * 100)
    with pytest.raises(SourceError, match=r"text is not a demo MIS.*kiva-pipeline demo"):
        DemoSource(tmp_path / "text", MARK)
    (tmp_path / "empty").touch()
    with pytest.raises(SourceError, match="no table loans"):
        DemoSource(tmp_path / "empty", MARK)
    mis = Path(copy(path, tmp_path / "mis.sqlite"))
    query(mis, "ALTER TABLE loans RENAME COLUMN loan_use TO purpose")
    with pytest.raises(SourceError, match=r"no column loans\.loan_use"):
        DemoSource(mis, MARK)
    with pytest.raises(SettingsError, match="no column kiva_flag"):
        DemoSource(path, NoteMark(kind="column", value="kiva_flag"))


def test_settings_open_the_source_that_they_name(path: Path) -> None:
    settings = parse_settings(
        {
            "version": 1,
            "environment": "sandbox",
            "partner": {"id": "145"},
            "calendar": {"timezone": "Africa/Kigali", "first_month": "2025-11"},
            "source": {"kind": "demo", "path": str(path)},
            "repayments": {"amount": "principal_repaid", "column_format": "two_column"},
            "journals": {"mark": {"kind": "column", "value": "for_kiva"}},
        },
        path.parent / "partner.yaml",
    )
    with open_source(settings) as source:
        assert source.counts(NOW).loans > 100


def test_a_text_that_is_no_utf_8_spoils_its_own_row_only(path: Path, tmp_path: Path) -> None:
    spoiled = Path(copy(path, tmp_path))
    ((client,),) = query(
        spoiled,
        "SELECT client_id FROM loans WHERE funding_source = 'KIVA' AND disbursed_on BETWEEN ? AND ?"
        " AND client_id IS NOT NULL ORDER BY id LIMIT 1",
        NOW.first_day.isoformat(),
        NOW.last_day.isoformat(),
    )
    query(
        spoiled,
        "UPDATE clients SET first_name = CAST(x'4a6f73e9' AS TEXT) WHERE client_id = ?",
        client,
    )
    with DemoSource(path, MARK) as clean, DemoSource(spoiled, MARK) as source:
        before = canonical_loans(clean.loans(NOW))
        after = canonical_loans(source.loans(NOW))
    assert len(after) == len(before)
    theirs = after["client_id"] == client
    bit = LOAN_RECORDS.bit("first_name_unreadable")
    assert ((after["problems"] & bit) != 0).tolist() == theirs.tolist()
    pd.testing.assert_frame_equal(after[~theirs], before[~theirs])


def test_a_booking_that_is_no_number_makes_no_zero_of_its_loans_figure(
    path: Path, tmp_path: Path
) -> None:
    spoiled = Path(copy(path, tmp_path))
    ((pk, loan_id),) = query(
        spoiled,
        "SELECT l.id, l.loan_id FROM loans l JOIN transactions t ON t.loan_pk = l.id"
        " WHERE t.type = 'repayment' AND l.loan_id IS NOT NULL ORDER BY l.id LIMIT 1",
    )
    query(
        spoiled,
        "UPDATE transactions SET principal_minor = 'a lot' WHERE loan_pk = ? AND type = 'repayment'",
        pk,
    )
    with DemoSource(path, MARK) as clean, DemoSource(spoiled, MARK) as source:
        before, after = (
            canonical_balances(pd.concat(s.balances(all_ids(path), LAST.last_day)))
            for s in (clean, source)
        )
    theirs = (after["loan_id"] == loan_id).to_numpy()
    assert after.loc[theirs, "repaid"].isna().all()
    assert (after.loc[theirs, "problems"] & BALANCE_RECORDS.bit("repaid_unreadable")).all()
    pd.testing.assert_frame_equal(after[~theirs], before[~theirs])
