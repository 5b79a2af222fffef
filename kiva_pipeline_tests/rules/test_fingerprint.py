import json
import unicodedata

from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kiva_pipeline.rules.fingerprint import field_hashes, payload_hash, seen_by_kiva

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(texts, values, max_size=5)


def hashed(body, photo=""):
    payload = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return payload_hash(seen_by_kiva(payload, photo))


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(bodies)
def test_the_order_of_keys_and_the_way_of_escaping_play_no_part(body):
    assert hashed(body) == hashed(reversed_keys(body)) == hashed(json.dumps(body))


@hypothesis_settings(max_examples=100)
@given(bodies, bodies)
def test_two_different_bodies_have_different_hashes(one, other):
    one, other = ({"x": nfc_values(body)} for body in (one, other))
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert hashed(one) != hashed(other)


def nfc_values(value):
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", k): nfc_values(v) for k, v in value.items()}
    return [nfc_values(item) for item in value] if isinstance(value, list) else value


@given(st.integers(-(10**15), 10**15), st.integers(0, 4), st.integers(0, 3))
def test_an_amount_is_the_same_with_more_zeros_and_another_with_one_cent_more(minor, digits, more):
    def amount(units, places):
        sign, text = "-" * (units < 0), str(abs(units)).rjust(places + 1, "0")
        return f"{sign}{text[: len(text) - places]}{'.' * (places > 0)}{text[len(text) - places :]}"

    before = hashed(f'{{"amount": {amount(minor, digits)}}}')
    assert before == hashed(f'{{"amount": {amount(minor * 10**more, digits + more)}}}')
    assert before != hashed(f'{{"amount": {amount(minor + 1, digits)}}}')


def test_an_amount_is_not_its_text_and_no_digit_is_lost():
    assert hashed('{"a": 3500.00}') == hashed('{"a": 3500.0}') == hashed('{"a": 3.5E3}')
    assert hashed('{"a": 3500}') != hashed('{"a": "3500"}')
    assert hashed('{"a": 123456789012345.67}') != hashed('{"a": 123456789012345.68}')


def test_decomposed_texts_are_the_same_and_a_mark_after_a_line_break_breaks_nothing():
    assert hashed({"name": "Jos\u00e9"}) == hashed({"name": "Jose\u0301"})
    assert hashed({"name": "Jos\u00e9"}) == hashed(json.dumps({"name": "Jose\u0301"}))
    assert hashed({"text": "a\n\u0303 \u00e9"}) == hashed({"text": "a\n\u0303 e\u0301"})
    assert hashed({"name": "Jose"}) != hashed({"name": "Jose\u0301"})


def test_the_photo_counts_by_its_own_hash():
    assert len({hashed({}), hashed({}, "ab"), hashed({}, "cd")}) == 3


def test_field_hashes_name_what_changed_inside_lists_too():
    before = {"entreps": [{"amount": 1, "gender": "male"}], "description": "x", "n": [1]}
    after = {"entreps": [{"amount": 2, "gender": "male"}], "description": "y", "n": [1]}
    one, other = (
        json.loads(field_hashes(seen_by_kiva(json.dumps(body)), b"k")) for body in (before, after)
    )
    assert {field for field in one if one[field] != other[field]} == {
        "entreps.amount",
        "description",
    }
    assert all(len(digest) == 16 for digest in one.values())
