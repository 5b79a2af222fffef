from kiva_pipeline_tests.worlds import OPEN_MONTH, demo_world


def test_a_world_has_a_sandbox_that_knows_the_loans_of_its_mis(tmp_path_factory):
    with demo_world(tmp_path_factory, loans=40, repayments={"batch_size": 5}) as world:
        assert world.settings.repayments.batch_size == 5
        assert world.settings.repayments.amount == "principal_repaid"
        assert world.demo.loans == 40
        assert world.posts() == 0
        today = world.settings.clock.today()
        assert world.settings.calendar.reporting.open_month(today) == OPEN_MONTH
