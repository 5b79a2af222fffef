"""The settings file: what is wrong is said with the file, the key, what was expected and the fix."""

import copy
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.demo_home import demo_yaml, practice_day, unborn_demo_settings
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.periods import Month
from kiva_pipeline.settings import (
    PRESETS,
    Environment,
    Secrets,
    Settings,
    load_settings,
    parse_settings,
)

DEMO: dict[str, Any] = yaml.safe_load(demo_yaml(date(2026, 10, 6), Month(2025, 10)))
ABSENT = object()


def changed(**values: Any) -> dict[str, Any]:
    """The demo's settings with other values; ``calendar__opens=3`` is ``calendar.opens``."""
    content = copy.deepcopy(DEMO)
    for name, value in values.items():
        *sections, key = name.split("__")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place.pop(key, None)
        if value is not ABSENT:
            place[key] = value
    return content


def kivas(environment: str, **values: Any) -> dict[str, Any]:
    """Settings for Kiva itself, with the preset's addresses."""
    return changed(environment=environment, api=ABSENT, calendar__practice_today=ABSENT, **values)


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings(content, Path("partner.yaml"))
    message = str(caught.value)
    assert message.startswith("partner.yaml: ")
    return message


def test_the_demos_settings_are_valid() -> None:
    settings = parse_settings(DEMO, Path("partner.yaml"))
    assert settings.environment is Environment.SANDBOX
    assert settings.partner.id == "145"
    assert settings.calendar.first_month == Month(2025, 10)
    assert unborn_demo_settings().calendar.practice_today == practice_day()


# --- the file


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"no settings file .*nowhere\.yaml.*kiva-pipeline demo"
    ):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_folder_instead_of_a_file_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"can't be read \(Is a directory\)"):
        load_settings(tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_this_account_may_not_read_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "partner.yaml"
    file.write_text("version: 1")
    file.chmod(0)
    with pytest.raises(SettingsError, match=r"can't be read \(Permission denied\)"):
        load_settings(file)


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16"])
def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "partner.yaml"
    file.write_bytes("version: 1\npartner:\n  name: Crédit Communautaire\n".encode(encoding))
    line = 3 if encoding == "windows-1252" else 1
    with pytest.raises(SettingsError, match=rf"partner\.yaml, line {line}: not UTF-8.*UTF-8"):
        load_settings(file)


def test_a_byte_order_mark_of_a_windows_editor_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "partner.yaml"
    file.write_text(demo_yaml(date(2026, 10, 6), Month(2025, 10)), encoding="utf-8-sig")
    assert load_settings(file).version == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("version: 1\npartner: {id: '1'\ncalendar:\n", "line 3, column"),
        ("version: 1\n\tpartner: 1\n", "line 2, column 1"),
        ("version: 1\nname: \x00\n", "partner.yaml"),
        ("version: 1\nwho: !!python/object/apply:os.system ['true']\n", "line 2"),
    ],
)
def test_a_slip_of_yaml_is_told_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "partner.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="not readable as YAML") as caught:
        load_settings(file)
    assert where in str(caught.value)


def test_a_key_that_is_there_twice_is_refused_instead_of_the_last_one_winning(
    tmp_path: Path,
) -> None:
    file = tmp_path / "partner.yaml"
    file.write_text("repayments:\n  amount: principal_repaid\n  amount: principal_outstanding\n")
    with pytest.raises(SettingsError, match=r"line 3, column 3.*the key amount is there twice"):
        load_settings(file)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- 1\n- 2\n", "just words", "42"])
def test_a_file_without_keys_is_said_to_have_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "partner.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="expected keys and values"):
        load_settings(file)


def test_relative_paths_are_taken_from_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    file = tmp_path / "here" / "partner.yaml"
    file.write_text(yaml.safe_dump(changed(state__folder="../state", api__ca_bundle="ca.pem")))
    monkeypatch.chdir(tmp_path)
    settings = load_settings("here/partner.yaml")
    assert settings.source.path == tmp_path / "here" / "mis.sqlite"
    assert settings.state.folder == tmp_path / "here" / ".." / "state"
    assert settings.api.ca_bundle == tmp_path / "here" / "ca.pem"
    assert settings.ledger_url.endswith("state/ledger.sqlite")


def test_a_path_in_the_home_folder_stays_there(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = parse_settings(changed(source__path="~/mis.sqlite"), tmp_path / "partner.yaml")
    assert settings.source.path == tmp_path / "home" / "mis.sqlite"


# --- the keys


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"repayment": {}}, "repayment is not a key I know; did you mean repayments?"),
        ({"calendar__time_zone": "UTC"}, "calendar.time_zone is not a key I know; did you mean"),
        ({"journals__mark__valeu": "x"}, "journals.mark.valeu is not a key I know; did you mean value?"),
        ({"source__pathe": "x"}, "source.pathe is not a key I know; did you mean path?"),
        ({"quux": 1}, "quux is not a key I know."),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_the_one_that_was_meant(
    wrong: dict[str, Any], message: str
) -> None:
    assert message in refused(changed(**wrong))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("environment", "write sandbox, staging or production on purpose"),
        ("repayments__amount", "inverts every figure"),
        ("repayments__column_format", "PA2 › Account › Profile"),
        ("journals__mark", "staff remarks"),
        ("repayments", "inverts every figure"),
        ("journals", "staff remarks"),
        ("partner", "no default"),
        ("partner__id", "no default"),
        ("calendar__timezone", "no default"),
        ("calendar__first_month", "no default"),
        ("source", "no default"),
        ("version", "no default"),
    ],
)
def test_a_missing_key_says_why_it_has_no_default(key: str, why: str) -> None:
    message = refused(changed(**{key: ABSENT}))
    assert f"{key.replace('__', '.')} is missing: " in message
    assert why in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("partner__id", 145, 'a text in quotes, such as "145"'),
        ("partner__id", 34, "a text in quotes"),
        ("partner__id", 1.5, "a text in quotes"),
        ("partner__id", "", "a text that is not empty"),
        ("partner__id", None, "a text; write it in quotes"),
        ("environment", "prod", "'sandbox', 'staging' or 'production'"),
        ("repayments__amount", "outstanding", "'principal_repaid' or 'principal_outstanding'"),
        ("repayments__column_format", 2, "'two_column' or 'three_column'"),
        ("repayments__batch_size", 301, "a number of at most 300"),
        ("repayments__batch_size", "many", "a whole number"),
        ("repayments__hold_jump_above", float("nan"), "a number"),
        ("journals__mark__kind", "tag", "'column', 'prefix' or 'type'"),
        ("journals__mark__value", "", "a text that is not empty"),
        ("journals__mark", "prefix", "keys and values below it"),
        ("calendar__first_month", "2026-13", "a month as YYYY-MM, such as 2026-10"),
        ("calendar__first_month", 202610, "a month as YYYY-MM"),
        ("calendar__first_month", date(2026, 10, 1), "a month as YYYY-MM"),
        ("calendar__first_month", {"year": 2026, "number": 13}, "a month as YYYY-MM"),
        ("calendar__timezone", "Africa/Kigalli", "an IANA time zone such as Africa/Kigali"),
        ("calendar__timezone", "../../etc/passwd", "an IANA time zone"),
        ("calendar__timezone", "", "an IANA time zone"),
        ("calendar__opens", 0, "a day from 1 to 28"),
        (
            "calendar__reporting_day",
            31,
            "a day from 1 to 28, which every month has; for a later one write 28",
        ),
        ("calendar__practice_today", "tomorrow", "a day such as 2026-10-06"),
        ("source__kind", "fineract", "'demo'"),
        ("source__path", None, "a path in quotes"),
        ("api__base_url", "127.0.0.1:8765", "a web address such as https://"),
        ("api__base_url", "http://[::1", "a web address"),
        ("api__base_url", "http://127.0.0.1:99999", "a web address"),
        ("api__auth_url", "file:///etc/passwd", "a web address"),
        ("mapping__genders", {"M": "man"}, "'male', 'female' or 'unknown'"),
        ("version", 0, "1"),
        ("version", "1", "1"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(key: str, value: Any, expected: str) -> None:
    message = refused(changed(**{key: value}))
    assert key.replace("__", ".") in message
    assert f"expected {expected}" in message


def test_a_period_that_opens_after_it_closes_is_refused() -> None:
    assert "opens (20) not after reporting_day (15)" in refused(changed(calendar__opens=20))


def test_a_file_for_a_newer_program_says_so_before_anything_else() -> None:
    message = refused(changed(version=2, brand_new={}))
    assert "newer than this program knows" in message
    assert "brand_new" not in message


def test_all_problems_are_told_at_once() -> None:
    message = refused(
        changed(
            partner__id=145,
            calendar__timezone="Mars/Olympus",
            calendar__first_month="10/2026",
            repayments__amount=ABSENT,
            surces={},
        )
    )
    assert "5 problems" in message
    for key in ("partner.id", "calendar.timezone", "calendar.first_month", "repayments.amount",
                "surces"):  # fmt: skip
        assert f"\n  - {key}" in message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
                    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner, max_size=2),
                    max_leaves=4),
       st.sampled_from([*DEMO, "calendar__timezone", "calendar__first_month", "partner__id", "source__path",
                        "api__base_url", "api__proxy", "state__folder", "journals__mark", "mapping"]))  # fmt: skip
def test_whatever_stands_in_the_file_is_taken_or_explained(value: Any, key: str) -> None:
    try:
        settings = parse_settings(changed(**{key: value}), Path("partner.yaml"))
    except SettingsError as error:
        assert str(error).startswith("partner.yaml: ")  # noqa: PT017
    else:
        assert isinstance(settings, Settings)


# --- which Kiva


def test_practice_days_are_for_the_sandbox_only() -> None:
    content = kivas("staging")
    content["calendar"]["practice_today"] = "2026-10-06"
    assert "calendar.practice_today is for environment: sandbox only" in refused(content)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_presets_fit_their_environment(environment: str) -> None:
    settings = parse_settings(kivas(environment), Path("partner.yaml"))
    assert settings.hosts == PRESETS[Environment(environment)]


@pytest.mark.parametrize("key", ["auth_url", "base_url"])
@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ("sandbox", "https://partner-api.k1.kiva.org"),
        ("sandbox", "http://127.0.0.1.example.org"),
        ("staging", "https://partner-api.k1.kiva.org"),
        ("staging", "https://PARTNER-API.K1.KIVA.ORG./"),
        ("staging", "https://auth.k1.kiva.org/oauth/token"),
        ("staging", "http://localhost:8765"),
        ("staging", "http://partnerapi.staging.kiva.org"),
        ("production", "https://partnerapi.staging.kiva.org"),
        ("production", "https://partner-api-stage.kiva.org"),
        ("production", "http://127.0.0.1:8765"),
    ],
)  # fmt: skip
def test_an_address_of_another_environment_is_refused(
    environment: str, host: str, key: str
) -> None:
    content = changed() if environment == "sandbox" else kivas(environment)
    content.setdefault("api", {})[key] = host
    assert f"api.{key} does not belong to environment: {environment}" in refused(content)


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"])
def test_the_sandbox_is_found_on_every_name_of_this_machine(host: str) -> None:
    settings = parse_settings(changed(api__base_url=host), Path("partner.yaml"))
    assert settings.hosts.base_url == host


# --- secrets


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api__proxy", "http://kiva:hush-hush@proxy:3128"),
        ("api__base_url", "https://kiva:hush-hush@127.0.0.1"),
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(key: str, value: str) -> None:
    message = refused(changed(**{key: value}))
    assert "without a user and a password" in message
    assert "hush" not in message


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://kiva:hush-hush@db/kiva",
        "postgresql+psycopg://kiva:hush/hush@db/kiva",
        "postgresql+psycopg://db/kiva?user=kiva&password=hush-hush",
    ],
)
def test_a_ledgers_password_in_the_file_is_refused_and_not_repeated(address: str) -> None:
    message = refused(changed(state__ledger_url=address))
    assert "without a password" in message
    assert "KIVA_PIPELINE_LEDGER_PASSWORD" in message
    assert "hush" not in message


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://kiva@db.example.org:5432/ledger?sslmode=verify-full",
        "postgresql+psycopg://kiva@/ledger?host=/run/postgresql",
        "postgresql:///ledger",
        "sqlite:////var/lib/kiva/ledger.sqlite",
    ],
)
def test_a_ledger_may_be_named_with_its_user(address: str) -> None:
    settings = parse_settings(changed(state__ledger_url=address), Path("partner.yaml"))
    assert settings.ledger_url == address


@pytest.mark.parametrize("address", ["mysql://db/ledger", "postgresql+asyncpg://db/l", "ledger"])
def test_a_ledger_lives_in_postgresql_or_a_file(address: str) -> None:
    assert "postgresql+psycopg://USER@HOST/DATABASE" in refused(changed(state__ledger_url=address))


def test_a_ledgers_file_is_named_from_the_root_so_that_no_other_folder_gets_an_empty_one() -> None:
    assert "an absolute path" in refused(changed(state__ledger_url="sqlite:///ledger.sqlite"))


def test_secrets_come_from_the_environment_and_no_repr_shows_them() -> None:
    secrets = Secrets.from_environment(
        Environment.STAGING,
        {"KIVA_CLIENT_ID": "partner-145", "KIVA_CLIENT_SECRET": "hush-hush"},
    )
    assert secrets.client_secret == "hush-hush"
    assert "hush" not in f"{secrets!r}{secrets}"
    assert "partner-145" not in repr(secrets)


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "no KIVA_CLIENT_ID and no KIVA_CLIENT_SECRET"),
        ({"KIVA_CLIENT_ID": "x"}, "no KIVA_CLIENT_SECRET"),
        ({"KIVA_CLIENT_ID": "", "KIVA_CLIENT_SECRET": "hush"}, "no KIVA_CLIENT_ID"),
    ],
)
def test_a_missing_secret_is_named(variables: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError, match=missing) as caught:
        Secrets.from_environment(Environment.PRODUCTION, variables)
    assert "hush" not in str(caught.value)


def test_the_sandbox_needs_no_secret() -> None:
    secrets = Secrets.from_environment(Environment.SANDBOX, {"KIVA_CLIENT_ID": ""})
    assert (secrets.client_id, secrets.client_secret) == ("sandbox", "sandbox")


def test_a_wrong_value_is_never_repeated_in_the_message() -> None:
    assert "hush" not in refused(changed(client_secret="hush-hush"))
    assert "hush" not in refused(changed(partner__name={"secret": "hush-hush"}))
