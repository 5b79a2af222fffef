"""The exact bytes of a request, made just before its intent is written.

Texts and photos come from the validated frame and the MIS at the moment of sending; the ledger
keeps only their hashes. A photo that is not the one that was validated is not sent.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kiva_pipeline.errors import SourceError
from kiva_pipeline.money import all_digits
from kiva_pipeline.partner_api import wire
from kiva_pipeline.settings import Journals, Repayments
from kiva_pipeline.submission.planned_rows import column_of


class PhotoChangedError(Exception):
    """The photo in the MIS is gone or is not the one that was validated."""


class BodyWriter(Protocol):
    """Makes the body of one request for some ledger rows."""

    def __call__(self, rows: Sequence[Any]) -> bytes:
        """Rows of ``submission`` in, the request's bytes out.

        Raises:
            PhotoChangedError: This request can't be made as it was validated.
        """
        ...


@dataclass(frozen=True, slots=True)
class DraftBodies:
    """Bodies of loan drafts: the validated JSON with the photo spliced in.

    Attributes:
        payloads: By business id: JSON text, photo's reference, MIME type and SHA-256.
        photo: Reads a photo from the MIS.
    """

    payloads: Mapping[str, tuple[str, str, str, str]]
    photo: Callable[[str], bytes]

    def __call__(self, rows: Sequence[Any]) -> bytes:
        """The body of one draft."""
        (row,) = rows
        payload, photo_ref, mime, sha256 = self.payloads[row.business_id]
        if not photo_ref:
            return wire.draft_body(payload.encode(), None, "")
        try:
            photo = self.photo(photo_ref)
        except SourceError as error:
            raise PhotoChangedError from error
        if hashlib.sha256(photo).hexdigest() != sha256:
            raise PhotoChangedError
        return wire.draft_body(payload.encode(), photo, mime)


@dataclass(frozen=True, slots=True)
class RepaymentBodies:
    """Bodies of repayment reports, from the figures that the ledger committed to."""

    terms: Repayments

    def __call__(self, rows: Sequence[Any]) -> bytes:
        """The body of one upload; outstanding is disbursed minus repaid, exactly."""
        amounts = column_of(rows, "amount")
        if self.terms.amount == "principal_outstanding":
            pairs = zip(column_of(rows, "disbursed"), amounts, strict=True)
            amounts = [disbursed - repaid for disbursed, repaid in pairs]
        return wire.repayments_body(
            column_of(rows, "business_id"),
            column_of(rows, "client_id"),
            all_digits(amounts, column_of(rows, "currency_digits")),
            three_column=self.terms.column_format == "three_column",
        )


@dataclass(frozen=True, slots=True)
class JournalBodies:
    """Bodies of journals: the validated JSON of each note.

    Attributes:
        payloads: JSON text by business id.
        terms: The envelope to use.
    """

    payloads: Mapping[str, str]
    terms: Journals

    def __call__(self, rows: Sequence[Any]) -> bytes:
        """The body of some journals."""
        return wire.journals_body(
            [self.payloads[row.business_id].encode() for row in rows], self.terms.envelope
        )
