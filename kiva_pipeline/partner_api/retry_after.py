"""How long a server asks to wait: the ``Retry-After`` header (RFC 9110 §10.2.3). Pure.

What must not break: it is read after a POST was answered, so no header, however broken, may raise.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_to_wait(header: str, now: datetime) -> float | None:
    """The seconds from ``now`` that a header asks for, from either of its two forms.

    Args:
        header: Seconds, or an HTTP date; "" when the answer had none.
        now: With a time zone.

    Returns:
        Never less than 0; None when the header is absent or can't be read.
    """
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None
