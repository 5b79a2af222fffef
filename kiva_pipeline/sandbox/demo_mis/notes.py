"""Notes on loans: some written for Kiva's lenders, others remarks for staff only.

What must not break: a remark is never marked for Kiva.
"""

from datetime import date, timedelta
from random import Random

from kiva_pipeline.sandbox.demo_mis import texts
from kiva_pipeline.sandbox.demo_mis.dirt import Dirt
from kiva_pipeline.sandbox.demo_mis.rows import LoanRow, NoteRow

FOR_KIVA_SHARE = 0.15
REMARK_SHARE = 0.1


def journal(rng: Random, loan: LoanRow, day: date) -> NoteRow:
    """A note for lenders, written on a day."""
    subject, body = texts.journal(rng, loan.first_name or "")
    return NoteRow(True, day.isoformat(), day, subject, body)


def remark(rng: Random, day: date) -> NoteRow:
    """A remark for staff."""
    subject, body = texts.remark(rng)
    return NoteRow(False, day.isoformat(), day, subject, body)


def a_day(rng: Random, after: date, until: date) -> date:
    """A day after one and up to another."""
    return after + timedelta(days=rng.randrange(1, max(2, (until - after).days + 1)))


def spoil_note(kind: Dirt, note: NoteRow) -> None:
    """Put one kind of ``NOTE_DIRT`` into a note for lenders.

    ``NOTE_BEFORE_KIVA`` is made by choosing the loan: nothing is left to spoil here.
    """
    if kind is Dirt.NOTE_WITHOUT_BODY:
        note.body = ""
    elif kind is Dirt.NOTE_WITHOUT_SUBJECT:
        note.subject = ""
    elif kind is Dirt.NOTE_WITHOUT_LOAN:
        note.has_loan = False
    elif kind is Dirt.NOTE_DAY_NOT_A_DATE:
        note.written_on = "last Tuesday"
