"""What staff write: descriptions and loan uses for lenders, journal notes, and staff remarks.

What must not break: the ordinary texts are in the third person and hold no last name, in each
language; the rules warn of either, and the demo plants both on purpose.
"""

from random import Random

GROUP_USES = {
    "en": "to buy maize seed and fertilizer.",
    "es": "para comprar semillas de maíz y abono.",
    "fr": "pour acheter des semences de maïs et de l’engrais.",
}

_SHOPKEEPER = (
    "{first} is {age} years old and works in {work}. After {years} years in business, {first}"
    " is known in the neighbourhood for fair prices and wants to serve more customers."
)
_PARENT = (
    "{first} supports a family of {years}. The day starts early with {work}; the income pays"
    " school fees and food, and the stock runs out too soon."
)
_TENDERA = (
    "{first} tiene {age} años y se dedica a {work}. Lleva {years} años en el negocio y desea"
    " atender a más clientes del barrio."
)
_COMMERCE = (
    "{first} a {age} ans et travaille dans le secteur {work}. Depuis {years} ans, ses clients"
    " apprécient la qualité de ses produits."
)
_DESCRIPTIONS = {"en": (_SHOPKEEPER, _PARENT), "es": (_TENDERA,), "fr": (_COMMERCE,)}
_GROUPS = {
    "en": "The group has {size} members who grow maize together and guarantee each other’s loans.",
    "es": "El grupo tiene {size} integrantes que cultivan maíz y se garantizan mutuamente.",
    "fr": "Le groupe compte {size} membres qui cultivent le maïs et se portent garants.",
}
_USES = {
    "en": ("to buy more stock for the shop.", "to pay for a second-hand machine.",
           "to buy seeds, fertilizer and tools."),
    "es": ("para comprar más mercadería.", "para comprar una máquina de segunda mano."),
    "fr": ("pour acheter du stock.", "pour acheter une machine d’occasion."),
}  # fmt: skip
_JOURNALS = (
    ("Business is growing", "{first} bought the stock as planned and sells more each week."),
    ("A new season", "The harvest was good. {first} repaid on time and plans to plant again."),
    ("Merci", "{first} a agrandi la boutique et remercie les prêteurs."),
    ("Gracias", "{first} compró los materiales y ahora atiende a más clientes."),
)
_REMARKS = (
    ("Call log", "Phone off on two days; visit the workplace before the next meeting."),
    ("Guarantor", "The guarantor changed his address; ask for a new copy of the card."),
    ("Internal", "Promised to pay on Friday. Do not disburse again before arrears are cleared."),
)

FIRST_PERSON = {
    "en": " I am very happy with my business.",
    "es": " Yo estoy muy contenta con mi negocio.",
    "fr": " Je suis très contente de mon commerce.",
}


def language_code(rng: Random) -> str:
    """The language in which a text is written: mostly English."""
    return rng.choices(("en", "es", "fr"), (0.8, 0.1, 0.1))[0]


def description(rng: Random, code: str, first: str, work: str) -> str:
    """A borrower's story in the third person."""
    age, years = rng.randrange(21, 66), rng.randrange(2, 9)
    template = rng.choice(_DESCRIPTIONS[code])
    return template.format(first=first, age=age, years=years, work=work.lower())


def group_description(code: str, size: int) -> str:
    """A group's story."""
    return _GROUPS[code].format(size=size)


def loan_use(rng: Random, code: str) -> str:
    """What completes “This borrower will use this loan:”."""
    return rng.choice(_USES[code])


def journal(rng: Random, first: str) -> tuple[str, str]:
    """Subject and body of a note that is written for lenders."""
    subject, body = rng.choice(_JOURNALS)
    return subject, body.format(first=first)


def remark(rng: Random) -> tuple[str, str]:
    """Subject and body of a note that is for staff only and must never leave."""
    return rng.choice(_REMARKS)
