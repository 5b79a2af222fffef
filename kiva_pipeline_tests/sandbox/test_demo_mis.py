import csv
import gc
import hashlib
import sqlite3
import unicodedata
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from kiva_pipeline.money import to_digits
from kiva_pipeline.periods import DisbursalWindow, Month
from kiva_pipeline.sandbox.demo_mis import (
    MAPPING,
    DemoFacts,
    Dirt,
    create_demo_mis,
    loans_at_kiva,
    planted,
)
from kiva_pipeline.sandbox.demo_mis.rows import LoanRow
from kiva_pipeline.sandbox.demo_mis.spellings import normal_key

TODAY = date(2026, 11, 6)
DATA = Path(__file__).parents[2] / "kiva_pipeline" / "sandbox" / "data"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoFacts]:
    path = tmp_path_factory.mktemp("demo") / "mis.sqlite"
    return path, create_demo_mis(path, today=TODAY)


def rows(path: Path, sql: str, *values: object) -> list[tuple]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def content_hash(path: Path) -> str:
    tables = rows(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
    digest = hashlib.sha256()
    for (table,) in tables:
        digest.update(repr(rows(path, f"SELECT * FROM {table} ORDER BY 1, 2")).encode())
    return digest.hexdigest()


def test_the_same_day_size_and_seed_give_the_same_content(tmp_path: Path) -> None:
    made = {}
    for name, seed in [("a", 7), ("b", 7), ("c", 8)]:
        create_demo_mis(tmp_path / name, today=TODAY, loans=320, seed=seed)
        made[name] = content_hash(tmp_path / name)
    assert made["a"] == made["b"] != made["c"]


@pytest.mark.parametrize(
    ("today", "seed"),
    [(TODAY, 7), (date(2026, 12, 31), 1), (date(2027, 3, 1), 99), (date(2028, 2, 29), 3)],
)
def test_every_kind_of_dirt_is_planted_at_the_default_size(
    tmp_path: Path, today: date, seed: int
) -> None:
    facts = create_demo_mis(tmp_path / "mis", today=today, seed=seed)
    assert set(facts.planted) == set(Dirt)
    assert [kind.name for kind, count in facts.planted.items() if count == 0] == []
    assert {k: len(ids) for k, ids in planted(tmp_path / "mis").items()} == facts.planted


@pytest.mark.parametrize("loans", [1, 2, 17, 299, 300, 1234])
def test_a_demo_holds_exactly_the_loans_asked_for(tmp_path: Path, loans: int) -> None:
    assert create_demo_mis(tmp_path / "mis", today=TODAY, loans=loans).loans == loans
    assert rows(tmp_path / "mis", "SELECT count(*) FROM loans") == [(loans,)]


def test_a_first_month_within_the_window_or_no_loans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2026-11"):
        create_demo_mis(tmp_path / "mis", today=TODAY, first_month=Month(2026, 11))
    with pytest.raises(ValueError, match="0"):
        create_demo_mis(tmp_path / "mis", today=TODAY, loans=0)
    assert list(tmp_path.iterdir()) == []


def test_a_big_demo_keeps_only_a_few_loans_in_memory(tmp_path: Path) -> None:
    alive, told = [], []

    def progress(done: int, of: int) -> None:
        told.append((done, of))
        if len(told) % 20 == 0:
            alive.append(sum(isinstance(thing, LoanRow) for thing in gc.get_objects()))

    facts = create_demo_mis(tmp_path / "mis", today=TODAY, loans=20_000, progress=progress)
    assert facts.loans == 20_000
    assert told[-1] == (20_000, 20_000)
    assert all(a < b for a, b in pairwise(told))
    assert alive
    assert max(alive) <= 80


@pytest.mark.parametrize("loans", [300, 600])
def test_the_real_schedules_are_there_to_the_cent_and_to_the_day(
    tmp_path: Path, loans: int
) -> None:
    create_demo_mis(tmp_path / "mis", today=TODAY, loans=loans)
    found: dict[int, tuple] = {}
    for pk, currency, amount, day, due_on, principal in rows(
        tmp_path / "mis",
        "SELECT l.id, currency, l.principal, coalesce(disbursed_on, expected_disbursal_on),"
        " due_on, i.principal FROM loans l JOIN instalments i ON i.loan_pk = l.id"
        " WHERE funding_source = 'KIVA' ORDER BY l.id, i.number",
    ):
        try:
            days = (date.fromisoformat(due_on) - date.fromisoformat(day)).days
            one = (days, Decimal(principal))
            found.setdefault(pk, (currency, Decimal(amount), []))[2].append(one)
        except (ValueError, TypeError, ArithmeticError):
            continue  # planted dirt
    in_mis = [(c, a, tuple(plan)) for c, a, plan in found.values()]
    real: dict[str, tuple] = {}
    with (DATA / "schedules.csv").open() as text:
        for row in csv.DictReader(text):
            days = date.fromisoformat(row["due_on"]) - date.fromisoformat(row["disbursed_on"])
            head = (row["currency"], Decimal(row["disbursed"]), [])
            one = (days.days, Decimal(row["amount"]))
            real.setdefault(row["loan"], head)[2].append(one)
    assert len(real) == 150
    for number, (currency, amount, plan) in real.items():
        assert (currency, amount, tuple(plan)) in in_mis, number


def test_names_come_in_45_scripts_and_in_both_unicode_forms(demo: tuple[Path, DemoFacts]) -> None:
    names = rows(demo[0], "SELECT script, first_name, last_name FROM clients")
    seen, decomposed = set(), 0
    for script, first, last in names:
        text = f"{first or ''}{last or ''}"
        decomposed += text != unicodedata.normalize("NFC", text)
        if any(unicodedata.name(c, "").startswith(script) for c in text):
            seen.add(script)
    assert len(seen) >= 45
    assert decomposed >= 20


def test_there_are_groups_of_3_to_40_and_currencies_of_0_2_and_3_digits(
    demo: tuple[Path, DemoFacts],
) -> None:
    sizes = {n for (n,) in rows(demo[0], "SELECT count(*) FROM group_members GROUP BY group_id")}
    assert {3, 40} <= sizes
    found = rows(demo[0], "SELECT DISTINCT currency, currency_digits FROM loans")
    assert {("RWF", 0), ("RWF", 2), ("UGX", 0), ("KES", 2), ("JOD", 3)} <= set(found)
    assert {"RWF", "UGX", "KES", "TJS", "PHP", "JOD"} <= set(demo[1].currencies)
    assert "ZMW" not in demo[1].currencies


def test_each_photo_is_a_jpeg_of_its_own_that_runs_from_header_to_end(
    demo: tuple[Path, DemoFacts],
) -> None:
    photos = [image for (image,) in rows(demo[0], "SELECT image FROM photos")]
    jpegs = [image for image in photos if image.startswith(b"\xff\xd8")]
    assert len({hashlib.sha256(image).digest() for image in photos}) == len(photos)
    assert len(photos) - len(jpegs) == demo[1].planted[Dirt.PHOTO_NOT_AN_IMAGE]
    assert any(len(image) > 8_000_000 for image in jpegs)
    for image in jpegs:
        at, markers = 2, []
        while image[at + 1] != 0xDA:  # start of scan
            assert image[at] == 0xFF
            markers.append(image[at + 1])
            at += 2 + int.from_bytes(image[at + 2 : at + 4], "big")
        assert markers[0] == 0xE0  # JFIF first
        assert 0xFE in markers  # the comment
        assert image.endswith(b"\xff\xd9")


def test_what_is_at_kiva_was_disbursed_before_the_window_and_reported_as_booked(
    demo: tuple[Path, DemoFacts],
) -> None:
    path, last_reported = demo[0], Month.of(TODAY).plus(-2).last_day
    seeds = {seed.internal_loan_id: seed for seed in loans_at_kiva(path)}
    assert {"payingBack", "defaulted", "ended"} == {seed.status for seed in seeds.values()}
    assert max(s.disbursed_on for s in seeds.values()) < DisbursalWindow(TODAY).first_day
    assert max(s.borrower_count for s in seeds.values()) == 40
    spoiled = {loan_id for ids in planted(path).values() for loan_id in ids}
    booked: dict[str, int] = {}
    digits_of: dict[str, int] = {}
    for loan_id, group, day, digits, type_, on, principal, reversed_ in rows(
        path,
        "SELECT loan_id, group_id, disbursed_on, currency_digits, type, transaction_date,"
        " principal_minor, is_reversed FROM loans l JOIN transactions t ON t.loan_pk = l.id",
    ):
        key = f"{group}-{day}" if group else loan_id
        digits_of[key] = digits
        counts = type_ in {"repayment", "down_payment"} and not reversed_
        if counts and on <= last_reported.isoformat():
            booked[key] = booked.get(key, 0) + principal
    checked = 0
    for key, seed in seeds.items():
        if key in spoiled:
            continue
        expected = to_digits(booked.get(key, 0), digits_of[key])
        assert seed.last_reported == (expected if seed.disbursed_on <= last_reported else None)
        checked += 1
    assert checked > 150


def test_a_clean_draft_s_terms_are_found_in_kivas_lists_or_in_the_mapping(
    demo: tuple[Path, DemoFacts],
) -> None:
    kiva: dict[str, set[str]] = {"languages": {"english", "spanish", "french"}}
    for kind, column in [("activities", "activity"), ("themes", "theme")]:
        with (DATA / f"{kind}.csv").open() as text:
            kiva[kind] = {normal_key(row[column]) for row in csv.DictReader(text)}
    with (DATA / "towns.csv").open() as text:
        towns = [normal_key(f"{row['town']}: {row['country']}") for row in csv.DictReader(text)]
    kiva["locations"] = {town for town in towns if towns.count(town) == 1}
    columns = {"activities": "activity", "themes": "theme", "locations": "location",
               "languages": "language"}  # fmt: skip
    unknown = {}
    for kind, column in columns.items():
        own = {normal_key(spelling) for spelling in MAPPING[kind]}
        terms = rows(demo[0], f"SELECT {column} FROM loans")
        keys = [normal_key(term) for (term,) in terms]
        assert any(key in own - kiva[kind] for key in keys), kind
        unknown[kind] = sum(key not in kiva[kind] | own for key in keys)
    dirt = demo[1].planted
    assert unknown == {
        "activities": dirt[Dirt.UNKNOWN_ACTIVITY],
        "themes": dirt[Dirt.UNKNOWN_THEME],
        "locations": dirt[Dirt.UNKNOWN_LOCATION],
        "languages": dirt[Dirt.UNKNOWN_LANGUAGE],
    }


def test_no_last_name_is_in_a_description_but_where_it_was_planted(
    demo: tuple[Path, DemoFacts],
) -> None:
    named = [
        loan_id
        for loan_id, last, text in rows(
            demo[0],
            "SELECT loan_id, last_name, description FROM loans JOIN clients USING (client_id)",
        )
        if last and text and last.casefold() in text.casefold().replace(",", " ").split()
    ]
    assert named == planted(demo[0])[Dirt.LAST_NAME_IN_DESCRIPTION]


def test_nothing_is_entered_after_the_practice_day(demo: tuple[Path, DemoFacts]) -> None:
    after = (TODAY + timedelta(days=1)).isoformat()
    assert rows(demo[0], "SELECT count(*) FROM transactions WHERE submitted_on >= ?", after) == [
        (0,)
    ]
    assert rows(demo[0], "SELECT count(*) FROM notes WHERE entered_on >= ?", after) == [(0,)]
    behind = (
        "SELECT count(*) FROM transactions WHERE submitted_on > date(transaction_date, '+10 days')"
    )
    assert rows(demo[0], behind)[0][0] > 0  # some are back-dated
    assert rows(demo[0], "SELECT sum(is_reversed) FROM transactions")[0][0] > 10
