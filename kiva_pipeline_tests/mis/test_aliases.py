"""``id_aliases.csv``: a source whose ids are Kiva's, whatever a migration of the MIS made of them."""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import copy

import pandas as pd
import pytest

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.mis.aliases import AliasedSource, load_aliases
from kiva_pipeline.mis.demo import DemoSource
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.mis.source import Source
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis import create_demo_mis
from kiva_pipeline.settings import NoteMark, load_settings
from kiva_pipeline_tests.worlds import demo_world

TODAY, MONTH = date(2026, 10, 6), Month(2026, 10)
MARK = NoteMark(kind="column", value="for_kiva")


@dataclass(frozen=True)
class Migrated:
    """The same MIS before and after a migration that changed the ids of loans and groups."""

    before: Source
    after: Source
    aliases: Path


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrated]:
    folder = tmp_path_factory.mktemp("migrated")
    create_demo_mis(folder / "before.sqlite", today=TODAY, loans=300)
    copy(folder / "before.sqlite", folder / "after.sqlite")
    aliases = folder / "id_aliases.csv"
    aliases.write_text("\n".join(["kiva_id,mis_id", *migrate(folder / "after.sqlite")]))
    with DemoSource(folder / "before.sqlite", MARK) as before:
        after = DemoSource(folder / "after.sqlite", MARK)
        with AliasedSource(after, load_aliases(aliases)) as named:
            yield Migrated(before, named, aliases)


def migrate(mis: Path) -> list[str]:
    """Give every loan and group another id, so that they sort otherwise; the lines of the aliases."""
    group_loan = "group_id || '-' || coalesce(disbursed_on, expected_disbursal_on)"
    lines = []
    with sqlite3.connect(mis) as connection:
        loans = connection.execute(
            "SELECT DISTINCT loan_id FROM loans WHERE loan_id <> ''"
        ).fetchall()
        lines += [f"{loan_id},M-{loan_id[::-1]}" for (loan_id,) in loans]
        groups = connection.execute(
            f"SELECT DISTINCT {group_loan} FROM loans WHERE {group_loan} <> ''"
        ).fetchall()
        lines += [f"{group},new-{group}" for (group,) in groups]
        new = {loan_id: f"M-{loan_id[::-1]}" for (loan_id,) in loans}
        connection.create_function("renamed", 1, lambda loan_id: new.get(loan_id, loan_id))
        connection.execute("UPDATE loans SET loan_id = renamed(loan_id)")
        connection.execute("PRAGMA foreign_keys = OFF")
        for table in ("loans", "groups", "group_members"):
            connection.execute(
                f"UPDATE {table} SET group_id = 'new-' || group_id WHERE group_id IS NOT NULL"
            )
    return lines


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    # A group's own client id has no alias: it is not a loan's.
    columns = [name for name in one.columns if name not in {"group_client_id", "client_id"}]
    pd.testing.assert_frame_equal(
        one[columns].astype("object"), other[columns].astype("object"), check_dtype=False
    )
    assert not one.empty


def test_loans_schedules_and_notes_come_under_kivas_ids(migrated):
    for rows in ("loans", "instalments", "notes"):
        same(getattr(migrated.before, rows)(MONTH), getattr(migrated.after, rows)(MONTH))
    assert migrated.before.counts(MONTH) == migrated.after.counts(MONTH)


def test_balances_are_asked_and_answered_under_kivas_ids_and_in_their_order(migrated):
    loans = migrated.before.loans(MONTH)
    ids = [*loans["loan_id"].dropna(), "nobody's", *loans["loan_id"].dropna()[:3]]
    before, after = (
        pd.concat(source.balances(ids, TODAY), ignore_index=True)
        for source in (migrated.before, migrated.after)
    )
    same(before, after)
    assert after["loan_id"].is_monotonic_increasing
    assert list(migrated.after.balances(["nobody's"], TODAY)) == []


def test_groups_are_asked_and_answered_under_kivas_ids(migrated):
    groups = migrated.before.loans(MONTH)["group_id"].dropna().unique()
    before, after = (
        source.group_members(groups).sort_values(["group_id", "loan_id"], ignore_index=True)
        for source in (migrated.before, migrated.after)
    )
    same(before, after)


def test_an_id_without_an_alias_stays_as_it_is(tmp_path):
    create_demo_mis(tmp_path / "mis.sqlite", today=TODAY, loans=40)
    aliases = tmp_path / "a.csv"
    aliases.write_text("kiva_id,mis_id\nOLD,NEW\n")
    with DemoSource(tmp_path / "mis.sqlite", MARK) as plain:
        same(AliasedSource(plain, load_aliases(aliases)).loans(MONTH), plain.loans(MONTH))


def test_the_settings_name_the_file_beside_them(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40, adopted=False) as world:
        with open_source(world.settings) as source:
            loan_id = source.loans(MONTH)["loan_id"].dropna().iloc[0]
        (world.folder / "id_aliases.csv").write_text(f"kiva_id;mis_id\nOLD;{loan_id}\n")
        file = world.settings_with(source={"id_aliases": "id_aliases.csv"})
        with open_source(load_settings(file)) as source:
            ids = set(source.loans(MONTH)["loan_id"])
        assert "OLD" in ids
        assert loan_id not in ids
        (world.folder / "id_aliases.csv").unlink()
        with pytest.raises(SettingsError, match=r"id_aliases\.csv can't be read"):
            open_source(load_settings(file))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["A,A"], "line 2: an alias needs two different ids"),
        (["A,"], "line 2: an alias needs two different ids"),
        ([",B"], "line 2: an alias needs two different ids"),
        (["A,B", "A,C"], "line 3: one of its ids has an alias in a line above already"),
        (["A,B", "C,B"], "line 3: one of its ids has an alias in a line above already"),
        (["A,B", "B,C"], "line 2: it leads on to another alias, in a chain or a circle"),
        (["A,B", "B,A"], "line 3: it leads on to another alias, in a chain or a circle"),
        (["A,B", "B,C", "C,A"], "line 4: it leads on to another alias, in a chain or a circle"),
    ],
)
def test_an_alias_that_is_none_is_refused_by_its_line(tmp_path, lines, told):
    file = tmp_path / "id_aliases.csv"
    file.write_text("\n".join(["kiva_id,mis_id", *lines]))
    with pytest.raises(SettingsError, match=re.escape(told)) as refused:
        load_aliases(file)
    assert "the id that Kiva knows beside the one that the MIS has today" in str(refused.value)


def test_all_lines_that_are_wrong_are_told_at_once(tmp_path):
    file = tmp_path / "id_aliases.csv"
    file.write_text("\n".join(["kiva_id,mis_id", *(f"A{n},A{n}" for n in range(30))]))
    with pytest.raises(SettingsError, match=r"30 of its lines") as refused:
        load_aliases(file)
    assert "line 21:" in str(refused.value)
    assert "and 10 more" in str(refused.value)


def test_a_file_without_aliases_changes_nothing(tmp_path):
    file = tmp_path / "id_aliases.csv"
    file.write_text("kiva_id,mis_id\n")
    assert load_aliases(file).to_kiva == {}
