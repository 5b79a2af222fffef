"""One clear message instead of a traceback: our errors end a step without a retry."""

import contextlib
from collections.abc import Iterator

import dagster as dg

from kiva_pipeline.errors import PipelineError, SourceUnavailableError

# A database that is down may be back in a moment; a submission is never retried by Dagster.
EXTRACTION_RETRY = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn our errors into a failed step with their own words.

    ``SourceUnavailableError`` passes through, so that the step's retry policy applies to it.
    """
    try:
        yield
    except SourceUnavailableError:
        raise
    except PipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
