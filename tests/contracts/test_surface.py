"""The shared vocabulary changes only on purpose: public names and error codes are pinned."""

from __future__ import annotations

import importlib
import inspect

import pytest

from firmware_py.contracts.errors import CiuicError, all_codes

# A released code keeps its meaning for ever; this list only grows.
CODES = {
    "broker_unreachable",
    "bundle_corrupt",
    "bundle_format",
    "bundle_hash",
    "bundle_missing",
    "bundle_runtime",
    "bundle_too_large",
    "bundle_truncated",
    "bundle_unsigned",
    "bundle_untrusted",
    "checkpoint_incomplete",
    "checkpoint_invalid",
    "checkpoint_unsupported",
    "config_invalid",
    "conversion_failed",
    "data_invalid",
    "data_missing",
    "deadline_passed",
    "deadline_unreachable",
    "delegate_unavailable",
    "disk_full",
    "golden_failed",
    "graph_failed",
    "input_empty",
    "input_too_long",
    "internal",
    "invalid_utf8",
    "key_invalid",
    "malformed",
    "name_taken",
    "names_invalid",
    "no_reply",
    "queue_full",
    "reply_invalid",
    "reply_topic_missing",
    "reply_topic_refused",
    "resources_short",
    "schema_invalid",
    "sensor_absent",
    "sensor_bus",
    "sensor_over_range",
    "shed",
    "shutting_down",
    "too_large",
    "tool_missing",
    "unknown_accuracy",
    "unknown_language",
    "unknown_task",
    "version_unsupported",
}
SURFACE = {
    "request": {"Qos", "Session", "Request", "parse_request"},
    "reply": {
        "Energy",
        "ModelRef",
        "Route",
        "Timing",
        "ErrorInfo",
        "Reply",
        "error_reply",
        "parse_reply",
    },
    "limits": {"Limits"},
    "run": {"GraphKey", "StageRun", "RunRecord"},
    "manifest": {"TensorSpec", "Member", "Graph", "Head", "Task", "Variant", "Manifest", "parse_manifest"},
    "node_state": {"CostLine", "ServedTask", "Birth", "State", "Heartbeat", "Reconciled", "EnergyReport"},
    "measurement": {
        "Row",
        "Check",
        "Measurement",
        "machine",
        "versions",
        "parse_measurement",
        "is_publishable",
    },
    "file_schemas": {"rendered"},
    "configuration": {"Configuration", "parse_configuration", "parse_widths"},
    "seams": {"Answerer", "Runner"},
    "clock": {"Clock", "SystemClock", "VirtualClock"},
}


def test_error_codes_only_grow() -> None:
    assert set(all_codes()) >= CODES
    assert set(all_codes()) <= CODES, "a new code: add it here and write docs/ref-errors/<code>.md"


def test_every_error_has_a_hint_and_prints_its_code() -> None:
    for code, cls in all_codes().items():
        error = cls("something happened")
        assert error.hint
        assert str(error) == f"something happened [{code}]"
        assert isinstance(error, CiuicError)


@pytest.mark.parametrize("module", sorted(SURFACE))
def test_public_names_are_pinned(module: str) -> None:
    loaded = importlib.import_module(f"firmware_py.contracts.{module}")
    own = {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == loaded.__name__
    }
    assert own == SURFACE[module]
