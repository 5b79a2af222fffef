import sqlite3

from kiva_pipeline_tests.worlds import OPEN_MONTH, demo_world


def test_a_world_has_a_sandbox_that_knows_the_loans_of_its_mis(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40, repayments={"batch_size": 5}) as world:
        assert world.settings.repayments.batch_size == 5
        assert world.settings.repayments.amount == "principal_repaid"
        assert world.demo.loans == 40
        assert world.posts() == 0
        today = world.settings.clock.today()
        assert world.settings.calendar.reporting.open_month(today, ()) == OPEN_MONTH


def test_a_worlds_ledger_knows_what_its_sandbox_was_seeded_with(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40) as world:
        ledger = sqlite3.connect(world.settings.state.folder / "ledger.sqlite")
        known = ledger.execute(
            "SELECT business_id FROM submission WHERE kind = 'loan_draft' AND state = 'accepted'"
        )
        sandbox = sqlite3.connect(world.sandbox)
        at_kiva = sandbox.execute("SELECT internal_loan_id FROM loan ORDER BY 1").fetchall()
        assert sorted(known.fetchall()) == at_kiva
        reported = sandbox.execute(
            "SELECT internal_loan_id FROM loan WHERE last_reported IS NOT NULL AND status <> 'ended' ORDER BY 1"
        )
        figures = ledger.execute("SELECT business_id FROM submission WHERE kind = 'repayment'")
        assert sorted(figures.fetchall()) == reported.fetchall() != []
        assert ledger.execute(
            "SELECT DISTINCT period FROM submission WHERE kind = 'repayment'"
        ).fetchall() == [("2026-08",)]


def test_a_world_may_have_an_empty_ledger(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40, adopted=False) as world:
        assert not (world.settings.state.folder / "ledger.sqlite").exists()
