"""The errors that a user meets, and the exit code that each gives a script.

Every error carries one sentence of what is wrong and one of what to do. None may carry a secret,
a token, a photo or a person's name: they end up in logs, in Dagster's event log and in e-mails.

    PipelineError
    ├── SettingsError            a key of the settings file or the environment      exit 2
    ├── SourceError              the MIS: unreachable, a missing column, bad types  exit 3
    │   └── SourceUnavailableError  may pass by itself       exit 3
    ├── PartnerApiError          Kiva's API: see partner_api/errors.py              exit 4
    ├── LedgerError              the ledger: wrong partner, unreadable, too new     exit 5
    ├── SenderBusyError          another sender holds this partner's lock           exit 6
    └── NotAllowedNowError       paused, month closed, ledger not adopted           exit 7
"""


class PipelineError(Exception):
    """Base of all errors that are explained to the user instead of shown as a traceback.

    Args:
        message: What is wrong, with the file, key or month concerned.
        fix: What to do about it; empty when the message already says it.
    """

    exit_code = 1

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class SettingsError(PipelineError):
    """A key of the settings file or of the environment is missing, unknown or wrong."""

    exit_code = 2


class SourceError(PipelineError):
    """The MIS can't be read as the settings say."""

    exit_code = 3


class SourceUnavailableError(SourceError):
    """The MIS did not answer; the same call may succeed later."""


class LedgerError(PipelineError):
    """The ledger is unreadable, of another partner, or newer than this program."""

    exit_code = 5


class SenderBusyError(PipelineError):
    """Another sender holds the lock of this partner; nothing was sent."""

    exit_code = 6


class NotAllowedNowError(PipelineError):
    """Sending is not allowed now: paused, month not open, ledger not adopted."""

    exit_code = 7
