"""A delegate is out, pauses longer each time, is tested, and comes back; each change is said once."""

from __future__ import annotations

import logging

import pytest

from firmware_py.backends.health import DelegateHealth
from firmware_py.contracts.clock import VirtualClock


def test_out_pause_test_in(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    health = DelegateHealth(clock, first_back_off_s=5.0, max_back_off_s=12.0)
    with caplog.at_level(logging.WARNING):
        health.failed("tpu", "no device")
        assert not health.usable("tpu")
        assert health.usable("xnnpack")
        assert health.retest_due() == ()
        for pause_s in (5.0, 10.0, 12.0, 12.0):
            clock.advance(pause_s - 0.1)
            assert health.retest_due() == ()
            clock.advance(0.1)
            assert health.retest_due() == ("tpu",)
            health.failed("tpu", "still none")
        health.passed("tpu")
        health.passed("tpu")
    assert health.usable("tpu")
    assert [r.message for r in caplog.records] == ["delegate tpu is out: no device", "delegate tpu is back"]


def test_a_new_outage_starts_with_the_short_pause() -> None:
    clock = VirtualClock()
    health = DelegateHealth(clock, first_back_off_s=5.0)
    for _ in range(4):
        health.failed("tpu", "x")
    health.passed("tpu")
    health.failed("tpu", "x")
    clock.advance(5.0)
    assert health.retest_due() == ("tpu",)


def test_a_barred_delegate_is_never_due(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    health = DelegateHealth(clock)
    health.bar("tpu", "it crashed twice")
    health.failed("tpu", "and again")
    clock.advance(1e9)
    assert not health.usable("tpu")
    assert health.retest_due() == ()
    assert caplog.messages == ["delegate tpu stays out: it crashed twice"]
