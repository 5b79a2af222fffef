"""Rows of an MIS as canonical records."""

import pandas as pd

from kiva_pipeline.mis.records import canonical_notes


def test_a_nul_in_a_text_is_replaced_because_not_every_ledger_can_keep_one():
    notes = pd.DataFrame(
        {
            "note_id": ["1\0", "2"], "loan_id": ["00\x001", "000002"], "written_on": ["2026-10-04"] * 2,
            "subject": ["", None], "body": ["\0", "She sells more."],
        }
    )  # fmt: skip
    made = canonical_notes(notes)
    assert made["note_id"].tolist() == ["1\N{REPLACEMENT CHARACTER}", "2"]
    assert made["loan_id"].tolist() == ["00\N{REPLACEMENT CHARACTER}1", "000002"]
    assert "\0" not in "".join(made["body"])
