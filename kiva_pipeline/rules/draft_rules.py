"""PA2's rules for one draft as a whole: group fields, Kiva's lists, window, texts, photo.

PA2 takes incomplete drafts and checks them only when a person publishes, so all that it would
refuse then is refused here, before anything is sent. Its limit of 5 USD is not: the API gives no
exchange rate. Where a rule's origin is not PA2 itself, its line says so.
"""

from kiva_pipeline.periods import WINDOW_DAYS_AHEAD, WINDOW_DAYS_PAST
from kiva_pipeline.rulebook import Rule, Rulebook, Severity

PHOTO_MIMES = frozenset({"image/jpeg", "image/png", "image/gif"})
_BLOCK, _WARN = Severity.BLOCK, Severity.WARN


def _group_has(column: str, what: str) -> Rule:
    return Rule(
        f"no_{column}", _GROUP_FIELDS[column], "missing", _BLOCK,
        f"The group has no {what}; enter it in the MIS.",
        lambda f: ~f["is_group"] | (f[column] != ""),
    )  # fmt: skip


_GROUP_FIELDS = {"group_name": "group_name", "group_client_id": "internal_client_id"}


def _agree(name: str, field: str, what: str, severity: Severity) -> Rule:
    sentence = (
        f"The members of the group have different {what}; a draft has one. Correct it in the MIS."
        if severity is _BLOCK
        else f"The members of the group have different {what}; the first member's goes to Kiva."
        " Check it in PA2."
    )
    return Rule(
        f"group_{name}_differs", field, "not the same in the group", severity, sentence,
        lambda f: ~f[f"{name}_differs"],
    )  # fmt: skip


def _listed(name: str, field: str) -> list[Rule]:
    spelling, found = name, f"{name}_found"
    return [
        Rule(
            f"no_{name}", field, "missing", _BLOCK,
            f"The loan has no {name}; enter it in the MIS.",
            lambda f: f[spelling] != "",
        ),
        Rule(
            f"{name}_not_listed", field, "not in Kiva's list", _BLOCK,
            f"Kiva's list has no such {name}; correct it in the MIS or add its spelling to the"
            " mapping in the settings.",
            lambda f: (f[spelling] == "") | (f[found] > 0),
        ),
        Rule(
            f"{name}_ambiguous", field, "fits several of Kiva's list", _BLOCK,
            f"The {name} fits more than one entry of Kiva's list; write which one in the mapping"
            " in the settings.",
            lambda f: f[found] < 2,
        ),
    ]  # fmt: skip


DRAFT_RULES = Rulebook(
    "loan drafts",
    [
        Rule(
            "id_of_loan_and_group", "internal_loan_id", "not unique", _BLOCK,
            "A group and an individual loan have the same id; give one of them another.",
            lambda f: ~f["mixed"],
        ),
        # A group of which one loan only is in the month was likely disbursed on several days.
        Rule(
            "group_of_one", "entreps", "one borrower", _BLOCK,
            "The group has one loan in this month; check that all members' loans are tagged for"
            " Kiva and disbursed on the same day, or take this loan out of the group.",
            lambda f: ~f["is_group"] | (f["members"] > 1),
        ),
        _group_has("group_name", "name"),
        _group_has("group_client_id", "client id of its own"),
        _agree("group_name", "group_name", "group names", _BLOCK),
        _agree("group_client_id", "internal_client_id", "group client ids", _BLOCK),
        _agree("currency", "currency", "currencies", _BLOCK),
        _agree("disbursed_on", "disburse_time", "disbursal days", _BLOCK),
        _agree("language", "description_language_id", "languages", _BLOCK),
        _agree("activity", "activity_id", "activities", _WARN),
        _agree("theme", "theme_type_id", "themes", _WARN),
        _agree("location", "location", "locations", _WARN),
        _agree("description", "description", "descriptions", _WARN),
        _agree("loan_use", "loanuse", "loan uses", _WARN),
        _agree("photo_sha256", "image_encoded", "photos", _WARN),
        *_listed("activity", "activity_id"),
        *_listed("theme", "theme_type_id"),
        *_listed("language", "description_language_id"),
        *_listed("location", "location"),
        Rule(
            "currency_not_listed", "currency", "not in Kiva's list", _BLOCK,
            "Kiva does not list this currency for the partner; correct it in the MIS or ask Kiva.",
            lambda f: (f["currency"] == "") | f["currency_listed"],
        ),
        Rule(
            "language_not_with_currency", "description_language_id",
            "not with this currency", _BLOCK,
            "Kiva's list does not have this language together with the loan's currency; write the"
            " description in another language or ask Kiva.",
            lambda f: (f["language_found"] != 1) | ~f["currency_listed"] | f["locale_listed"],
        ),
        Rule(
            "window_ran_out", "disburse_time", "too long ago", _BLOCK,
            f"PA2 takes a disbursal day of at most {WINDOW_DAYS_PAST} days ago; this loan can't be"
            " posted any more.",
            lambda f: f["disbursed_on"].isna() | (f["disbursed_on"] >= f["window_first"]),
        ),
        Rule(
            "window_not_open", "disburse_time", "too far ahead", _BLOCK,
            f"PA2 takes a disbursal day of at most {WINDOW_DAYS_AHEAD} days ahead; nothing to do:"
            " it goes by itself once its window has opened.",
            lambda f: f["disbursed_on"].isna() | (f["disbursed_on"] <= f["window_last"]),
        ),
        Rule(
            "window_shuts_soon", "disburse_time", "about to run out", _WARN,
            "Publish this draft in PA2 soon: after its last day PA2 won't take it.",
            lambda f: f["disbursed_on"].isna()
            | (f["disbursed_on"] < f["window_first"])
            | (f["disbursed_on"] > f["window_warns"]),
        ),
        Rule(
            "no_description", "description", "missing", _BLOCK,
            "The loan has no description of the borrower; write it in the MIS.",
            lambda f: f["description"] != "",
        ),
        Rule(
            "no_loan_use", "loanuse", "missing", _BLOCK,
            "The loan's use is missing; complete “This borrower will use this loan: …” in the MIS.",
            lambda f: f["loan_use"] != "",
        ),
        Rule(
            "description_first_person", "description", "first person", _WARN,
            "The description seems to speak as “I” or “we”; Kiva wants the third person. Rewrite"
            " it in PA2.",
            lambda f: ~f["description_first_person"],
        ),
        Rule(
            "loan_use_first_person", "loanuse", "first person", _WARN,
            "The loan's use seems to speak as “I” or “we”; Kiva wants the third person. Rewrite it"
            " in PA2.",
            lambda f: ~f["loan_use_first_person"],
        ),
        # Only a warning: the API takes a draft without one and the Coordinator can add it in PA2,
        # whereas waiting for it could let the loan's window run out.
        Rule(
            "no_photo", "image_encoded", "missing", _WARN,
            "The draft goes without a photo; add it in PA2 before publishing.",
            lambda f: f["photo_ref"] != "",
        ),
        # A file that is there and is no photo is a mistake: it can't be mended by adding one.
        Rule(
            "photo_unreadable", "image_encoded", "not readable", _BLOCK,
            "The MIS names a photo that can't be read; attach it again.",
            lambda f: (f["photo_ref"] == "")
            | ((f["photo_sha256"] != "") & f["photo_bytes"].gt(0).fillna(value=False)),
        ),
        Rule(
            "photo_not_an_image", "image_encoded", "not JPEG, PNG or GIF", _BLOCK,
            "The file attached as photo is not a JPEG, PNG or GIF image; attach the photo itself.",
            lambda f: (f["photo_ref"] == "")
            | (f["photo_sha256"] == "")
            | f["photo_mime"].isin(PHOTO_MIMES),
        ),
        Rule(
            "photo_too_large", "image_encoded", "too large", _BLOCK,
            "The photo is larger than loan_drafts.max_photo_bytes in the settings; make it smaller"
            " in the MIS.",
            lambda f: (f["photo_ref"] == "")
            | f["photo_bytes"].le(f["photo_limit"]).fillna(value=True),
        ),
    ],
)  # fmt: skip
