import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from shutil import copy

import pandas as pd
import pytest

from kiva_pipeline.mis.demo import DemoSource
from kiva_pipeline.money import to_minor
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis import (
    Correction,
    Dirt,
    advance,
    correct_past,
    create_demo_mis,
    loans_at_kiva,
    planted,
)
from kiva_pipeline.settings import NoteMark

TODAY = date(2026, 11, 6)
OPEN, NOW = Month(2026, 10), Month(2026, 11)
MARK = NoteMark(kind="column", value="for_kiva")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "mis.sqlite"
    create_demo_mis(path, today=TODAY)
    return path


@pytest.fixture
def path(tmp_path: Path, untouched: Path) -> Path:
    return Path(copy(untouched, tmp_path / "mis.sqlite"))


def query(path: Path, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, values).fetchall()


def months() -> Iterator[Month]:
    yield from (Month(2025, 11).plus(n) for n in range(18))


def seen_by_the_source(path: Path, as_of: date) -> dict[str, dict[tuple, tuple]]:
    """All rows of each kind by their key, as the pipeline would read them."""
    ids = [loan_id for (loan_id,) in query(path, "SELECT DISTINCT loan_id FROM loans")]
    with DemoSource(path, MARK) as source:
        frames = {
            "loans": pd.concat([source.loans(m) for m in months()]),
            "instalments": pd.concat([source.instalments(m) for m in months()]),
            "notes": pd.concat([source.notes(m) for m in months()]),
            "balances": pd.concat(source.balances(ids, as_of)),
        }
    keys = {"balances": ["loan_id", "client_id"]}
    return {
        kind: {
            tuple(row[k] for k in keys.get(kind, ["source_key"])): tuple(row.items())
            for row in frame.to_dict("records")
        }
        for kind, frame in frames.items()
    }


def changed(before: dict[tuple, tuple], after: dict[tuple, tuple]) -> set[str]:
    """The loan ids of the rows that are new, gone or different."""
    keys = {k for k in before | after if before.get(k) != after.get(k)}
    return {dict(rows[k])["loan_id"] for k in keys for rows in (before, after) if k in rows}


def test_a_small_correction_changes_just_what_it_names(path: Path) -> None:
    before = seen_by_the_source(path, OPEN.last_day)
    made = correct_past(path)
    after = seen_by_the_source(path, OPEN.last_day)
    assert all(made.values())
    ((reversed_,), (late,), (new,), (loan,), (note,)) = made.values()
    assert len({reversed_, late, new, loan, note}) == 5
    assert changed(before["loans"], after["loans"]) == {new, loan}
    assert changed(before["instalments"], after["instalments"]) == {new}
    assert changed(before["notes"], after["notes"]) == {note}
    assert changed(before["balances"], after["balances"]) == {reversed_, late, new}
    repaid = {
        loan_id: (dict(before["balances"][key])["repaid_minor"], dict(row)["repaid_minor"])
        for key, row in after["balances"].items()
        for loan_id in key[:1]
        if loan_id in {reversed_, late}
    }
    assert repaid[reversed_][1] < repaid[reversed_][0]
    assert repaid[late][1] > repaid[late][0]
    at_kiva = {seed.internal_loan_id: seed.status for seed in loans_at_kiva(path)}
    assert at_kiva[reversed_] == at_kiva[late] == "payingBack"
    fixed = next(dict(r) for r in after["loans"].values() if dict(r)["loan_id"] == loan)
    assert fixed["loan_use"].strip()
    assert loan not in planted(path).get(Dirt.NO_LOAN_USE, [])
    with DemoSource(path, MARK) as source:
        assert new in set(source.loans(NOW)["loan_id"])


def test_each_correction_alone_changes_just_its_loan(untouched: Path, tmp_path: Path) -> None:
    columns = {
        Correction.AMOUNT_CHANGED: {"principal"},
        Correction.TEXT_EDITED: {"description"},
        Correction.REDATED: {"disbursed_on"},
    }
    before = seen_by_the_source(untouched, TODAY)
    for correction in Correction:
        path = Path(copy(untouched, tmp_path / correction.name))
        (loan_id,) = correct_past(path, [correction])[correction]
        after = seen_by_the_source(path, TODAY)
        differing = {kind: changed(before[kind], after[kind]) for kind in before}
        assert set().union(*differing.values()) == {loan_id}, correction
        if correction in columns:
            old, new = (
                next(dict(r) for r in rows["loans"].values() if dict(r)["loan_id"] == loan_id)
                for rows in (before, after)
            )
            assert {c for c in old if old[c] != new[c]} == columns[correction]
        if correction is Correction.UNTAGGED:
            assert not any(dict(r)["loan_id"] == loan_id for r in after["loans"].values())


def test_a_changed_amount_still_has_a_schedule_that_adds_up(path: Path) -> None:
    (loan_id,) = correct_past(path, [Correction.AMOUNT_CHANGED])[Correction.AMOUNT_CHANGED]
    ((pk, amount, digits, disbursed),) = query(
        path,
        "SELECT l.id, principal, currency_digits, principal_minor FROM loans l"
        " JOIN transactions t ON t.loan_pk = l.id AND type = 'disbursement' WHERE loan_id = ?",
        loan_id,
    )
    due = query(path, "SELECT principal FROM instalments WHERE loan_pk = ?", pk)
    assert sum(to_minor(p, digits) or 0 for (p,) in due) == to_minor(amount, digits) == disbursed


def test_a_month_brings_what_the_facts_say_and_corrects_the_past(path: Path) -> None:
    count = "SELECT count(*) FROM {}"
    tables = ("loans", "transactions", "notes")
    before = {t: query(path, count.format(t))[0][0] for t in tables}
    facts = advance(path, loans=40)
    after = {t: query(path, count.format(t))[0][0] for t in tables}
    assert facts.today == date(2026, 12, 6)
    assert len(facts.new_loans) == 40
    assert set(facts.corrected) == set(Correction)
    assert all(facts.corrected.values())
    assert after["loans"] - before["loans"] == 40 + 2  # one added late, one new this month
    assert after["notes"] - before["notes"] == len(facts.noted) > 0
    assert len(facts.repaid) > 100
    entered = query(
        path,
        "SELECT loan_id FROM loans l JOIN transactions t ON t.loan_pk = l.id"
        " WHERE type = 'repayment' AND submitted_on BETWEEN '2026-11-07' AND '2026-12-06'",
    )
    added = {*facts.new_loans, *facts.corrected[Correction.ADDED_LATE]}
    late = facts.corrected[Correction.REPAYMENT_BACK_DATED]
    assert {loan_id for (loan_id,) in entered} - added == {*facts.repaid, *late}
    paid_out = query(
        path,
        "SELECT loan_id FROM loans l JOIN transactions t ON t.loan_pk = l.id"
        " WHERE type = 'disbursement' AND submitted_on BETWEEN '2026-11-07' AND '2026-12-06'",
    )
    assert {loan_id for (loan_id,) in paid_out} >= set(facts.disbursed)
    overdue = (
        "SELECT count(*) FROM loans WHERE status = 'approved' AND date(expected_disbursal_on) <= ?"
    )
    kinds = (
        Dirt.AMOUNT_NOT_A_NUMBER,
        Dirt.ZERO_AMOUNT,
        Dirt.NEGATIVE_AMOUNT,
        Dirt.AMOUNT_WITH_FRACTION,
    )
    unpayable = [i for k in kinds for i in planted(path)[k]]
    assert query(path, overdue, "2026-12-06")[0][0] <= len(unpayable)


def test_months_follow_each_other_alike_from_the_same_content(path: Path, tmp_path: Path) -> None:
    other = Path(copy(path, tmp_path / "other.sqlite"))
    for _ in range(3):
        assert advance(path) == advance(other)
    dump = "SELECT * FROM transactions ORDER BY id"
    assert query(path, dump) == query(other, dump)
    assert query(path, "SELECT value FROM demo_facts WHERE name = 'today'") == [("2027-02-06",)]
    ids = query(path, "SELECT loan_id FROM loans GROUP BY loan_id HAVING count(*) > 1")
    assert sorted(i for (i,) in ids) == sorted(planted(path)[Dirt.DUPLICATE_LOAN_ID])


def test_the_day_is_the_last_of_a_shorter_month(tmp_path: Path) -> None:
    create_demo_mis(tmp_path / "mis", today=date(2027, 1, 31), loans=60)
    assert advance(tmp_path / "mis").today == date(2027, 2, 28)


def test_an_mis_without_dirt_to_fix_says_so(tmp_path: Path) -> None:
    create_demo_mis(tmp_path / "mis", today=TODAY, loans=3)
    made = correct_past(tmp_path / "mis")
    assert made[Correction.LOAN_FIXED] == ()
    assert len(made[Correction.NEW_LOAN]) == 1
