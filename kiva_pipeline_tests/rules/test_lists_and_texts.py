import pandas as pd
import pytest

from kiva_pipeline.rules.keys import match_key
from kiva_pipeline.rules.lists import KivaLists, genders
from kiva_pipeline.rules.texts import in_first_person, names_last_name
from kiva_pipeline.settings import ListSpellings
from kiva_pipeline_tests.rules.examples import KIVA_LISTS

LISTS = KivaLists.of(KIVA_LISTS, ListSpellings())


@pytest.mark.parametrize(
    "spelling",
    ["São Paulo: Brazil", "SAO PAULO, brazil", " são  paulo ", "São Paulo", "ＳＡＯ ＰＡＵＬＯ"],
)
def test_a_place_is_found_by_any_spelling_of_it(spelling):
    assert LISTS.locations.find(spelling) == {"São Paulo: Brazil"}


def test_a_town_that_two_countries_have_is_no_match_but_its_full_name_is():
    assert len(LISTS.locations.find("san juan")) == 2
    assert LISTS.locations.find("San Juan - Peru") == {"San Juan: Peru"}
    assert LISTS.locations.find("香港") == {"香港: 中国"}


def test_what_kiva_writes_exactly_is_never_ambiguous():
    assert LISTS.activities.find("cafe") == {7, 8}
    assert LISTS.activities.find("Café") == {7}


def test_a_language_is_found_by_name_or_code():
    assert LISTS.languages.find("RUSSIAN") == LISTS.languages.find("ru") == {5}


def test_nothing_and_punctuation_match_nothing():
    assert LISTS.activities.find("") == LISTS.locations.find("—") == frozenset()


def test_accents_and_vowel_points_go_but_vowel_signs_that_make_another_word_stay():
    assert match_key("कल") != match_key("कुल")
    assert match_key("مُحَمَّد") == match_key("محمد")
    assert match_key("STRASSE") == match_key("Straße")
    assert match_key("Ёлка") == match_key("елка")


def test_genders_are_read_in_the_forms_that_systems_use():
    spellings = ["M", "female", "Mujer", "Féminin", "", "unknown", "?", "xq"]
    assert genders(pd.Series(spellings, dtype="str"), {}) == [
        "male", "female", "female", "female", "unknown", "unknown", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text", "speaks"),
    [
        ("en", "I sell fish.", True),
        ("en", "It's what we do.", True),
        ("en", "She says it helps us.", True),
        ("en", "She sells to the US and in Mexico.", False),
        ("en", "Mining feeds the family.", False),
        ("es", "Vendo con mi hermana.", True),
        ("es", "Yo vendo.", True),
        ("es", "Vende cada mes en el mercado.", False),
        ("fr", "J’ai un étal.", True),
        ("fr", "Elle vend pour nous.", True),
        ("fr", "Elle vend du poisson.", False),
        ("ru", "Я продаю.", False),
        ("", "Nosotros vendemos.", True),
        ("", "Cada mes vende más.", False),
    ],
)
def test_first_person_is_seen_in_three_languages(language, text, speaks):
    assert in_first_person([text], [language]) == [speaks]


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("Uwase", "Chantal UWASE grows maize.", True),
        ("Uwase", "Uwasekazi grows maize.", False),
        ("García López", "La señora Garcia vende.", True),
        ("Núñez", "El sr. Nunez vende.", True),
        ("de la Cruz", "Vende de la huerta.", False),
        ("Li", "Li sells fish.", False),
        ("", "She sells fish.", False),
        ("Рахимов", "Азиз РАХИМОВ торгует.", True),
        ("محمد", "تبيع مُحَمَّد الخبز", True),
        ("देशमुख", "मोहन देशमुख खेती करते हैं।", True),
        ("राम", "रामा खेती करते हैं।", False),
        ("ใจดี", "สมชายใจดีขายปลา", True),
        ("Παπαδόπουλος", "Ο κ. ΠΑΠΑΔΟΠΟΥΛΟΣ πουλάει.", True),
        ("O'Brien", "Mary O'Brien sells.", True),
    ],
)
def test_a_last_name_is_seen_as_a_word_of_its_own_in_any_script(name, text, shown):
    assert names_last_name([text], [name]) == [shown]
