import pytest

pytest.register_assert_rewrite(
    "kiva_pipeline_tests.submission.books",
    "kiva_pipeline_tests.submission.cases",
    "kiva_pipeline_tests.submission.desk",
)
