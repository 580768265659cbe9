"""A broker of each kind that is here; one that is not installed is a skip with its name."""

from __future__ import annotations

from tests.brokers import broker, kind

__all__ = ["broker", "kind"]
