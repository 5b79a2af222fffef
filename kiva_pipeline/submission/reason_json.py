"""One reason in the rules' JSON form; needs no pandas, as the acts of a person do not."""

import orjson

from kiva_pipeline.submission.states import SENTENCES


def reason(code: str, detail: str = "", *, field: str = "") -> str:
    """One of the planner's or the sender's own reasons in the rules' JSON form."""
    return orjson.dumps(
        [
            {
                "code": code,
                "field": field,
                "value_class": "",
                "severity": "",
                "sentence": SENTENCES[code],
                "detail": detail,
            }
        ]
    ).decode()
