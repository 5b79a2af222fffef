"""The key of the keyed hashes."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kiva_pipeline.errors import LedgerError
from kiva_pipeline.field_key import field_key


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIVA_PIPELINE_FIELD_KEY", raising=False)


def test_a_key_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    key = field_key(tmp_path / "state")
    assert len(key) == 32
    assert field_key(tmp_path / "state") == key
    assert field_key(tmp_path / "other") != key
    file = tmp_path / "state" / "field.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["field.key"]


def test_the_environments_key_wins_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIVA_PIPELINE_FIELD_KEY", "clé")
    assert field_key(tmp_path / "state") == "clé".encode()
    assert not (tmp_path / "state").exists()


def test_many_runs_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: field_key(tmp_path / "state"), range(32)))
    assert len(keys) == 1


@pytest.mark.parametrize("content", ["", "abcd", "no hex at all", "é"])
def test_a_damaged_key_is_said_to_be_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "field.key").write_text(content, encoding="utf-8")
    with pytest.raises(LedgerError, match=r"field\.key is damaged"):
        field_key(tmp_path)
