"""The loans of the bench, as a formula: the same for the MIS, for Kiva's list and for the checks."""

from typing import Any

MONTH, LAST_MONTH, TODAY, FIRST_MONTH = "2026-09", "2026-08", "2026-10-06", "2026-01"
AS_OF = "2026-09-30"
CREATED = 1_770_000_000


def loan_id(number: int) -> str:
    """Loans count from 0; their ids sort as they count."""
    return f"L-{number:09d}"


def client_id(number: int) -> str:
    """The borrower of a loan."""
    return f"C-{number:09d}"


def price_minor(number: int) -> int:
    """A loan's principal in minor units: a few hundred different ones, as price lists make them."""
    return (100 + number * 7 % 400 * 50) * 100


def repaid_minor(number: int) -> int:
    """What is repaid of it by the month's end: never above the principal."""
    return price_minor(number) * (number % 97) // 100


def repaid_before_minor(number: int) -> int:
    """What was reported of it a month before."""
    return price_minor(number) * max(number % 97 - 6, 0) // 100


def balance(number: int) -> tuple[Any, ...]:
    """One row of ``RAW_BALANCES``."""
    return (
        loan_id(number), client_id(number), "KES", 2, "2026-02-03", price_minor(number), 0,
        repaid_minor(number), 0, 0, 0, 0, None,
    )  # fmt: skip


def kiva_loan(number: int) -> dict[str, Any]:
    """One loan as ``GET /loans`` gives it."""
    price = price_minor(number)
    return {
        "kiva_id": 1_000_000 + number,
        "uuid": f"K{number:09d}",
        "borrower_count": 1,
        "internal_loan_id": loan_id(number),
        "internal_client_id": client_id(number),
        "partner_id": 145,
        "name": "A borrower",
        "status": "payingBack",
        "loan_price": "100.00",
        "loan_local_price": f"{price // 100}.{price % 100:02d}",
        "loan_currency": "KES",
        "create_time": CREATED,
        "delinquent": False,
    }


def kiva_page(first: int, size: int) -> list[dict[str, Any]]:
    """Some loans of ``GET /loans`` in their order."""
    return [kiva_loan(number) for number in range(first, first + size)]
