"""One clear message instead of a traceback: our errors end a step without a retry.

What must not break: Dagster keeps an error's message, its causes and the code around it for ever,
and shows them to everybody. An error of a driver or a library may quote a row, so only our own
words go in, and of any other error its kind and the places it came from.
"""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from kiva_pipeline.errors import PipelineError, SourceUnavailableError

# A database that is down may be back in a moment; a submission is never retried by Dagster.
EXTRACTION_RETRY = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

_PLACES_TOLD = 6
EXIT_CODE = "exit code"  # what the command line ends with when a step failed for this


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn our errors into a failed step with their own words, and others into where they arose.

    ``SourceUnavailableError`` passes through without its cause, so that the step's retry policy
    applies to it.
    """
    try:
        yield
    except SourceUnavailableError as error:
        raise SourceUnavailableError(error.message, error.fix) from None
    except PipelineError as error:
        raise dg.Failure(
            description=str(error),
            allow_retries=False,
            metadata={EXIT_CODE: error.exit_code},
        ) from None
    except dg.Failure:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it may quote a row
        raise dg.Failure(description=_unexpected(error), allow_retries=False) from None


def _unexpected(error: Exception) -> str:
    """The kind of error and the places it went through, without the values it may quote."""
    places = traceback.extract_tb(error.__traceback__)[-_PLACES_TOLD:]
    told = " › ".join(f"{Path(p.filename).name}:{p.lineno} {p.name}" for p in places)
    return (
        f"Something unexpected failed ({type(error).__name__}), at {told}."
        " Please report it; its message is left out, because it may quote a borrower's data."
    )
