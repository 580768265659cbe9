"""One TOML table under inspection: a value out, or an error with file, key and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from device_profiles.profile import ProfileError


class Table:
    """Reads keys once each; `done` refuses what nobody read."""

    __slots__ = ("_data", "_file", "_read", "_where")

    def __init__(self, data: Mapping[str, Any], file: str, where: str = "") -> None:
        self._data = data
        self._file = file
        self._where = where
        self._read: set[str] = set()

    def fail(self, key: str, message: str) -> NoReturn:
        """Raise with the file and the full key."""
        text = f"{self._file}: {self._name(key)} {message}"
        raise ProfileError(text)

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def _get(self, key: str, kind: str, *, optional: bool) -> Any:
        self._read.add(key)
        if key not in self._data and not optional:
            self.fail(key, f"is missing ({kind})")
        return self._data.get(key)

    def text(self, key: str, *, allowed: Iterable[str] | None = None) -> str:
        """A string that is not empty, one of `allowed` when given."""
        value = self._get(key, "a string", optional=False)
        if not isinstance(value, str) or not value.strip():
            self.fail(key, "is not a string with something in it")
        names = None if allowed is None else tuple(allowed)
        if names is not None and value not in names:
            self.fail(key, f"is {value!r}; allowed: {', '.join(names)}")
        return value

    def text_or_none(self, key: str, *, allowed: Iterable[str] | None = None) -> str | None:
        """The same, or null when the key is left out."""
        self._read.add(key)
        return self.text(key, allowed=allowed) if key in self._data else None

    def integer(self, key: str, *, low: int, high: int) -> int:
        """An integer within [low, high]."""
        value = self._get(key, "an integer", optional=False)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(key, f"is {value!r}; allowed: an integer from {low} to {high}")
        return value

    def integer_or_none(self, key: str, *, low: int, high: int) -> int | None:
        """The same, or null when the key is left out."""
        self._read.add(key)
        return self.integer(key, low=low, high=high) if key in self._data else None

    def number(self, key: str, *, low: float, high: float) -> float:
        """A number within [low, high]."""
        value = self._get(key, "a number", optional=False)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fail(key, f"is {value!r}; allowed: a number from {low:g} to {high:g}")
        return float(value)

    def number_or_none(self, key: str, *, low: float, high: float) -> float | None:
        """The same, or null when the key is left out."""
        self._read.add(key)
        return self.number(key, low=low, high=high) if key in self._data else None

    def texts(self, key: str) -> tuple[str, ...]:
        """An array of strings, possibly empty."""
        value = self._get(key, "an array of strings", optional=False)
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.fail(key, "is not an array of strings")
        return tuple(value)

    def table(self, key: str) -> Table:
        """A nested table."""
        value = self._get(key, "a table", optional=False)
        if not isinstance(value, dict):
            self.fail(key, "is not a table")
        return Table(value, self._file, self._name(key))

    def table_or_none(self, key: str) -> Table | None:
        """A nested table, or null when it is left out."""
        self._read.add(key)
        return self.table(key) if key in self._data else None

    def tables(self, key: str) -> tuple[Table, ...]:
        """An array of tables with at least one entry."""
        value = self._get(key, "an array of tables", optional=False)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.fail(key, "is not an array of tables with at least one entry")
        return tuple(Table(item, self._file, f"{self._name(key)}[{i}]") for i, item in enumerate(value))

    def strings(self, key: str) -> dict[str, str]:
        """A table of strings, empty when it is left out."""
        inner = self.table_or_none(key)
        return {} if inner is None else {name: inner.text(name) for name in inner.names()}

    def names(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._data)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        unknown = sorted(set(self._data) - self._read)
        if unknown:
            self.fail(unknown[0], f"is not a key; allowed: {', '.join(sorted(self._read))}")
