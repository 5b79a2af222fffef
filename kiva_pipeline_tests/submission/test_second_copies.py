"""No second copy: two ledgers, loans posted by hand, moved members, ids that a migration changed.

Each test ends with 0 duplicates by the sandbox's count, and with a sentence that says what to do.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from kiva_pipeline.errors import NotAllowedNowError
from kiva_pipeline.practice_adoption import adopt_practice
from kiva_pipeline.sandbox.by_hand import DraftByHand, post_by_hand
from kiva_pipeline.sandbox.practice import pa2_folder
from kiva_pipeline.settings import Settings, load_settings
from kiva_pipeline.submission.acts import Person
from kiva_pipeline.submission.approve import approve
from kiva_pipeline_tests.submission.sending import (
    DRAFTS,
    JOURNALS,
    REPAYMENTS,
    Sent,
    open_ledger,
    send,
)
from kiva_pipeline_tests.worlds import (
    OPEN_MONTH,
    PRACTICE_DAY,
    RUNNING_MONTH,
    World,
    demo_world,
)

PARTNER = "145"


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A partner that went live today."""
    with demo_world(tmp_path_factory, loans=120) as world:
        yield world


def sql(file: Path, statement: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def sandbox(world: World, statement: str, *values: object) -> list[tuple]:
    return sql(world.sandbox, statement, *values)


def publish(world: World, draft_uuid: str, *, made_on: date = PRACTICE_DAY) -> None:
    """A person publishes a draft in PA2 on a day of the rehearsal."""
    httpx.post(f"{world.url}/_sandbox/publish/{draft_uuid}").raise_for_status()
    instant = int(datetime(made_on.year, made_on.month, made_on.day, 12, tzinfo=UTC).timestamp())
    sandbox(world, "UPDATE loan SET created_at = ? WHERE uuid = ?", instant, draft_uuid)


def draft_uuid(world: World, loan_id: str) -> str:
    ((found,),) = sandbox(world, "SELECT uuid FROM draft WHERE business_key = ?", loan_id)
    return str(found)


def good_drafts(world: World) -> Sent:
    """What a run would send of the running month."""
    return send(world.settings, DRAFTS, RUNNING_MONTH, dry_run=True)


def an_individual(planned: Sent) -> str:
    return next(i for i in planned.ids("planned") if planned.rows.loc[i, "loan_ids"] == f'["{i}"]')


def a_group(planned: Sent) -> str:
    return next(i for i in planned.ids("planned") if planned.rows.loc[i, "loan_ids"] != f'["{i}"]')


def typed_in_pa2(world: World, planned: Sent, draft: str, **changes: str) -> str:
    """Somebody posts this draft by hand; its uuid."""
    row = planned.rows.loc[draft]
    amount, *_ = sql(
        world.mis, "SELECT principal, client_id FROM loans WHERE loan_id = ?",
        json.loads(row["loan_ids"])[0],
    )  # fmt: skip
    typed = {
        "loan_id": draft, "client_id": amount[1], "currency": row["currency"],
        "disbursed_on": row["effective_on"],
    } | changes  # fmt: skip
    by_hand = DraftByHand(**typed, borrowers=[(typed["loan_id"], typed["client_id"], amount[0])])
    return post_by_hand(world.sandbox, PARTNER, [by_hand])[0]


def adopt_again(world: World, settings: Settings | None = None) -> None:
    adopt_practice(settings or world.settings, world.sandbox, pa2_folder(world.folder))


def nothing_twice(world: World) -> None:
    assert world.facts()["duplicate_effects"] == []


def stops(world: World, settings: Settings, *ids: str) -> None:
    """All three streams are refused before anything is posted; the sentence names the loans."""
    posts = world.posts()
    for kind, month in ((DRAFTS, RUNNING_MONTH), (REPAYMENTS, OPEN_MONTH), (JOURNALS, OPEN_MONTH)):
        with pytest.raises(NotAllowedNowError) as refused:
            send(settings, kind, month)
        told = str(refused.value)
        assert all(loan_id in told for loan_id in ids)
        for cause in ("posted them by hand", "another pipeline", "restored from a backup"):
            assert cause in told
        assert "`kiva-pipeline adopt`" in told
    assert world.posts() == posts


# --- loans that somebody else posted


def test_a_loan_posted_by_hand_since_go_live_stops_until_it_is_adopted(world):
    planned = good_drafts(world)
    draft = an_individual(planned)
    publish(world, typed_in_pa2(world, planned, draft))
    stops(world, world.settings, draft)
    told = send(world.settings, DRAFTS, RUNNING_MONTH, dry_run=True).result.objections
    assert [draft in sentence for sentence in told] == [True]
    adopt_again(world)
    after = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert after.rows.loc[draft, "decision"] == "already_at_kiva"
    assert after.ids("accepted")
    nothing_twice(world)


def test_many_strangers_are_told_by_five_and_their_number(world):
    planned = good_drafts(world)
    for n in range(7):
        publish(world, typed_in_pa2(world, planned, an_individual(planned), loan_id=f"HAND-{n}"))
    with pytest.raises(NotAllowedNowError, match=r"7 loan\(s\) .* HAND-4 and 2 more"):
        send(world.settings, DRAFTS, RUNNING_MONTH)


def test_a_draft_that_waited_at_go_live_and_was_named_is_not_sent_before_or_after_publishing(
    tmp_path_factory,
):
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        planned = good_drafts(world)
        draft = an_individual(planned)
        uuid = typed_in_pa2(world, planned, draft)
        adopt_again(world)
        for made_on in (None, PRACTICE_DAY + timedelta(days=2)):
            if made_on:
                publish(world, uuid, made_on=made_on)
            sent = send(world.settings, DRAFTS, RUNNING_MONTH)
            assert sent.rows.loc[draft, "decision"] == "already_at_kiva"
        nothing_twice(world)


def test_an_adopted_draft_that_the_mis_changes_needs_a_person(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        planned = good_drafts(world)
        draft = an_individual(planned)
        typed_in_pa2(world, planned, draft)
        adopt_again(world)
        sql(
            world.mis,
            "UPDATE loans SET disbursed_on = NULL, expected_disbursal_on = '2026-10-30'"
            " WHERE loan_id = ?",
            draft,
        )
        sent = send(world.settings, DRAFTS, RUNNING_MONTH)
        assert sent.rows.loc[draft, "decision"] == "needs_person"
        (reason,) = json.loads(sent.rows.loc[draft, "reasons"])
        assert reason["detail"] == f"day {planned.rows.loc[draft, 'effective_on']} → 2026-10-30"
        sql(world.mis, "DELETE FROM loans WHERE loan_id = ?", draft)
        gone = send(world.settings, DRAFTS, RUNNING_MONTH)
        assert gone.reason(draft) == "accepted_then_gone"
        nothing_twice(world)


def test_a_draft_that_was_forgotten_at_go_live_is_met_once_kiva_lists_it(world):
    planned = good_drafts(world)
    draft = an_individual(planned)
    publish(world, typed_in_pa2(world, planned, draft), made_on=PRACTICE_DAY - timedelta(days=5))
    sent = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert (sent.rows.loc[draft, "decision"], sent.reason(draft)) == (
        "already_at_kiva",
        "already_at_kiva",
    )
    nothing_twice(world)


def test_a_member_of_a_group_that_has_a_loan_of_its_own_at_kiva_keeps_the_group_from_going(world):
    planned = good_drafts(world)
    group = a_group(planned)
    member = json.loads(planned.rows.loc[group, "loan_ids"])[0]
    uuid = typed_in_pa2(world, planned, an_individual(planned), loan_id=f" {member.lower()} ")
    publish(world, uuid, made_on=PRACTICE_DAY - timedelta(days=5))
    sent = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert sent.rows.loc[group, "decision"] == "already_at_kiva"


# --- two ledgers for one partner


def test_two_ledgers_for_one_partner_stop_each_other(world):
    state = {"folder": "second"}
    second = load_settings(world.settings_with("second.yaml", state=state))
    adopt_again(world, second)
    sent = send(world.settings, DRAFTS, RUNNING_MONTH, limit=2).ids("accepted")
    for draft in sent:
        publish(world, draft_uuid(world, draft))
    stops(world, second, *sent)
    adopt_again(world, second)
    later = send(second, DRAFTS, RUNNING_MONTH, limit=1).ids("accepted")
    publish(world, draft_uuid(world, *later))
    stops(world, world.settings, *later)  # the first one does not know what the second one sends
    nothing_twice(world)


# --- members


def another_member(world: World, like: str, loan_id: str) -> None:
    """A loan with its schedule in the same group, entered in the MIS today."""
    ((pk,),) = sql(world.mis, "SELECT id FROM loans WHERE loan_id = ?", like)
    names = [name for _, name, *_ in sql(world.mis, "SELECT * FROM pragma_table_info('loans')")]
    kept = ", ".join(names[2:])
    sql(
        world.mis, f"INSERT INTO loans SELECT 9000000, ?, {kept} FROM loans WHERE id = ?",
        loan_id, pk,
    )  # fmt: skip
    sql(
        world.mis,
        "INSERT INTO instalments (loan_pk, number, due_on, principal, interest)"
        " SELECT 9000000, number, due_on, principal, interest FROM instalments WHERE loan_pk = ?",
        pk,
    )


def test_a_member_added_after_acceptance_needs_a_person_who_is_told_what_changed(world):
    group = a_group(good_drafts(world))
    sent = send(world.settings, DRAFTS, RUNNING_MONTH)
    members = json.loads(sent.rows.loc[group, "loan_ids"])
    another_member(world, members[0], "NEW-1")
    posts = world.posts()
    again = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert world.posts() == posts
    assert again.rows.loc[group, "decision"] == "needs_person"
    (reason,) = json.loads(again.rows.loc[group, "reasons"])
    assert "loan NEW-1 came in" in reason["detail"]
    assert "amount " in reason["detail"]
    assert " → " in reason["detail"]
    assert "Amend or delete it by hand in PA2" in reason["sentence"]
    nothing_twice(world)


def test_a_member_that_moved_to_another_group_after_acceptance_holds_that_group(world):
    planned = good_drafts(world)
    group = a_group(planned)
    send(world.settings, DRAFTS, RUNNING_MONTH)
    moved, *_ = json.loads(planned.rows.loc[group, "loan_ids"])
    another_member(world, moved, "NEW-1")
    sql(world.mis, "INSERT INTO groups VALUES ('G-NEW', 'Nouveau')")
    sql(
        world.mis, "UPDATE loans SET group_id = 'G-NEW' WHERE loan_id IN (?, ?)", moved, "NEW-1"
    )  # fmt: skip
    posts = world.posts()
    again = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert world.posts() == posts
    (other,) = [draft for draft in again.rows.index if draft.startswith("G-NEW")]
    assert again.rows.loc[other, "decision"] == "held"
    (reason,) = json.loads(again.rows.loc[other, "reasons"])
    assert reason["detail"] == f"loan {moved}, also in draft {group}"
    assert "Correct the groups in the MIS" in reason["sentence"]
    assert again.rows.loc[group, "decision"] == "needs_person"
    nothing_twice(world)


# --- ids that a migration of the MIS changed


def migrate(world: World) -> dict[str, str]:
    """Every loan of the MIS gets another id; the new ones by the old."""
    loans = sql(world.mis, "SELECT DISTINCT loan_id FROM loans WHERE loan_id <> ''")
    sql(world.mis, "UPDATE loans SET loan_id = 'M' || loan_id WHERE loan_id <> ''")
    return {loan_id: f"M{loan_id}" for (loan_id,) in loans}


def test_ids_that_a_migration_changed_are_caught_and_held_without_an_alias(world):
    sent = send(world.settings, DRAFTS, RUNNING_MONTH).ids("accepted")
    new = migrate(world)
    posts = world.posts()
    after = send(world.settings, DRAFTS, RUNNING_MONTH)
    assert world.posts() == posts
    individual = [draft for draft in sent if draft in new]
    assert individual
    for draft in individual:
        assert after.rows.loc[new[draft], "decision"] == "held"
        (reason,) = json.loads(after.rows.loc[new[draft], "reasons"])
        assert (reason["code"], reason["detail"]) == ("may_be_at_kiva", f"loan {draft}")
        assert "source.id_aliases" in reason["sentence"]
        assert after.rows.loc[draft, "decision"] == "needs_person"
    report = send(world.settings, REPAYMENTS, OPEN_MONTH)
    assert world.posts() == posts
    assert set(report.rows["decision"]) <= {"missing", "held", "blocked"}
    nothing_twice(world)


def test_with_the_alias_file_a_migration_changes_nothing(world):
    drafts = send(world.settings, DRAFTS, RUNNING_MONTH)
    report = send(world.settings, REPAYMENTS, OPEN_MONTH)
    lines = [f"{old},{new}" for old, new in migrate(world).items()]
    (world.folder / "id_aliases.csv").write_text("\n".join(["kiva_id,mis_id", *lines]))
    file = world.settings_with("aliased.yaml", source={"id_aliases": "id_aliases.csv"})
    settings, posts = load_settings(file), world.posts()
    for before, kind, month in (
        (drafts, DRAFTS, RUNNING_MONTH),
        (report, REPAYMENTS, OPEN_MONTH),
    ):
        after = send(settings, kind, month)
        assert list(after.rows.index) == list(before.rows.index)
        was = before.rows["decision"].replace("accepted", "unchanged")
        assert (after.rows["decision"] == was).all()
    assert world.posts() == posts


def test_a_loan_whose_id_was_changed_before_go_live_is_caught_by_kivas_own_list(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        planned = good_drafts(world)
        draft = an_individual(planned)
        made_on = PRACTICE_DAY - timedelta(days=20)
        publish(world, typed_in_pa2(world, planned, draft), made_on=made_on)
        migrate(world)
        adopt_again(world)
        sent = send(world.settings, DRAFTS, RUNNING_MONTH)
        assert sent.rows.loc[f"M{draft}", "decision"] == "held"
        (reason,) = json.loads(sent.rows.loc[f"M{draft}", "reasons"])
        assert (reason["code"], reason["detail"]) == ("may_be_at_kiva", f"loan {draft}")


def test_a_repeated_loan_is_no_copy_where_the_mis_knows_the_day_of_the_earlier_one(
    tmp_path_factory,
):
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        planned = good_drafts(world)
        draft = an_individual(planned)
        other = typed_in_pa2(world, planned, draft, loan_id="EARLIER-1")
        publish(world, other, made_on=PRACTICE_DAY - timedelta(days=60))
        another_member(world, draft, "EARLIER-1")
        sql(
            world.mis,
            "UPDATE loans SET disbursed_on = '2026-08-10' WHERE loan_id = 'EARLIER-1'",
        )
        adopt_again(world)
        assert send(world.settings, DRAFTS, RUNNING_MONTH).rows.loc[draft, "decision"] == "accepted"
        nothing_twice(world)


def test_a_person_who_looked_lets_the_very_draft_go_that_they_saw(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        planned = good_drafts(world)
        draft = an_individual(planned)
        other = typed_in_pa2(world, planned, draft, loan_id="EARLIER-1")
        publish(world, other, made_on=PRACTICE_DAY - timedelta(days=60))
        adopt_again(world)
        held = send(world.settings, DRAFTS, RUNNING_MONTH)
        assert held.rows.loc[draft, "decision"] == "held"
        ledger = open_ledger(world.settings)
        ada = Person("Ada", "EARLIER-1 is another loan")
        approve(ledger, world.settings, RUNNING_MONTH, ada, loan_id=draft)
        ledger.close()
        assert send(world.settings, DRAFTS, RUNNING_MONTH).rows.loc[draft, "decision"] == "accepted"
        nothing_twice(world)


def test_an_approval_is_of_the_draft_as_it_was(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=120, adopted=False) as world:
        planned = good_drafts(world)
        draft = an_individual(planned)
        other = typed_in_pa2(world, planned, draft, loan_id="EARLIER-1")
        publish(world, other, made_on=PRACTICE_DAY - timedelta(days=60))
        adopt_again(world)
        send(world.settings, DRAFTS, RUNNING_MONTH)
        ledger = open_ledger(world.settings)
        ada = Person("Ada", "EARLIER-1 is another loan")
        approve(ledger, world.settings, RUNNING_MONTH, ada, loan_id=draft)
        ledger.close()
        sql(world.mis, "UPDATE loans SET loan_use = 'to buy a cow.' WHERE loan_id = ?", draft)
        assert send(world.settings, DRAFTS, RUNNING_MONTH).rows.loc[draft, "decision"] == "held"
