"""What a local amount is in US dollars, roughly: for ``loan_price``, which is in dollars at Kiva.

Round figures to practise with, not a source of rates; nothing is reported by them.
"""

from decimal import ROUND_HALF_EVEN, Decimal

# Units of local currency for one dollar.
_FOR_ONE_DOLLAR = {
    "ALL": "90", "AMD": "390", "AZN": "1.7", "BIF": "2900", "BOB": "6.9", "CNY": "7.2",
    "COP": "4000", "CRC": "510", "EGP": "49", "EUR": "0.92", "GEL": "2.7", "GHS": "15",
    "GTQ": "7.7", "HNL": "25", "HTG": "131", "IDR": "16000", "INR": "84", "JOD": "0.71",
    "KES": "129", "KGS": "87", "KHR": "4000", "LAK": "21500", "LBP": "89500", "LRD": "185",
    "LSL": "18", "MGA": "4600", "MMK": "2100", "MNT": "3450", "MWK": "1735", "MXN": "19",
    "MZN": "64", "NAD": "18", "NGN": "1550", "NIO": "36.8", "PEN": "3.75", "PHP": "57",
    "PKR": "278", "PYG": "7800", "RWF": "1400", "SBD": "8.4", "SLL": "22700", "SRD": "36",
    "SSP": "4000", "TJS": "10.7", "TRY": "36", "TZS": "2600", "UAH": "41", "UGX": "3680",
    "VND": "25300", "WST": "2.7", "XAF": "605", "XOF": "605", "YER": "250", "ZAR": "18",
    "ZMW": "27",
}  # fmt: skip


def in_dollars(amount: str, currency: str) -> str:
    """A local amount as decimal text in dollars; an unknown currency counts as dollars."""
    rate = Decimal(_FOR_ONE_DOLLAR.get(currency, "1"))
    return str((Decimal(amount) / rate).quantize(Decimal("0.01"), ROUND_HALF_EVEN))
