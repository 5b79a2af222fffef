"""The want of a browser or a server skips at a newcomer's, and fails in the gate."""

import pytest

from kiva_pipeline_tests.live import LIVE_VARIABLE, need

REASON = "no such server: start one"


def test_what_is_there_is_enough(monkeypatch):
    monkeypatch.setenv(LIVE_VARIABLE, "required")
    need(True, REASON)
    need("/usr/bin/chromium", REASON)


def test_a_newcomers_machine_skips_with_the_reason(monkeypatch):
    monkeypatch.delenv(LIVE_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match=REASON):
        need(False, REASON)


def test_the_gate_fails_instead_of_skipping(monkeypatch):
    monkeypatch.setenv(LIVE_VARIABLE, "required")
    with pytest.raises(pytest.fail.Exception, match=REASON):
        need(None, REASON)


def test_a_misspelt_variable_does_not_quietly_skip(monkeypatch):
    monkeypatch.setenv(LIVE_VARIABLE, "require")
    with pytest.raises(ValueError, match="Set it to required"):
        need(False, REASON)
