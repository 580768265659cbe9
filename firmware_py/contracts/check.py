"""Field checks shared by the contracts' parsers: a value out, or an error that names the field.

Every parser reads a `Mapping` that came from outside, ignores fields it does not know, and never
puts the caller's values into a message (they may be private text).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from firmware_py.contracts.errors import CiuicError, SchemaError
from firmware_py.contracts.written import plain

_LARGEST = sys.float_info.max  # an integer above it has no float; NaN compares with nothing


class Fields:
    """A mapping under inspection; `where` and `error` shape what a fault says."""

    __slots__ = ("_data", "_error", "_where")

    def __init__(self, data: Any, where: str, error: type[CiuicError] = SchemaError) -> None:
        self._where = where
        self._error = error
        if not isinstance(data, Mapping):
            self.fail(f"{where} is not an object")
        self._data: Mapping[str, Any] = data

    def fail(self, message: str) -> NoReturn:
        """Raise this inspection's error."""
        raise self._error(message)

    def _get(self, key: str, default: Any, kind: str) -> Any:
        value = self._data.get(key, default)
        if value is ...:
            self.fail(f"{self._where}.{key} is missing ({kind})")
        return value

    def text(self, key: str, default: Any = ..., *, limit: int = 256) -> Any:
        """A string of at most `limit` code points; null only when the default is null."""
        value = self._get(key, default, "a string")
        if value is None and default is None:
            return None
        if not isinstance(value, str) or len(value) > limit:
            self.fail(f"{self._where}.{key} is not a string of at most {limit} characters")
        return value

    def integer(self, key: str, default: Any = ..., *, low: int = 0, high: int = 2**53) -> Any:
        """An integer within [low, high]; booleans are not integers."""
        value = self._get(key, default, "an integer")
        if value is None and default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(f"{self._where}.{key} is not an integer between {low} and {high}")
        return value

    def number(self, key: str, default: Any = ..., *, low: float = -math.inf, high: float = math.inf) -> Any:
        """A finite number within [low, high], as float."""
        value = self._get(key, default, "a number")
        if value is None and default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{self._where}.{key} is not a number")
        if not low <= value <= high or not abs(value) < _LARGEST:
            bounds = [
                f"{word} {plain(bound)}"
                for word, bound in (("at least", low), ("at most", high))
                if abs(bound) < _LARGEST
            ]
            of = f" of {' and '.join(bounds)}" if bounds else ""
            self.fail(f"{self._where}.{key} is not a finite number{of}")
        return float(value)

    def flag(self, key: str, default: Any = ...) -> Any:
        """A boolean."""
        value = self._get(key, default, "a boolean")
        if value is None and default is None:
            return None
        if not isinstance(value, bool):
            self.fail(f"{self._where}.{key} is not true or false")
        return value

    def object(self, key: str, default: Any = ...) -> Any:
        """A nested mapping, as it is."""
        value = self._get(key, default, "an object")
        if value is None and default is None:
            return None
        if not isinstance(value, Mapping):
            self.fail(f"{self._where}.{key} is not an object")
        return value

    def array(self, key: str, default: Any = ..., *, limit: int = 100_000) -> Any:
        """A list, as it is."""
        value = self._get(key, default, "an array")
        if value is None and default is None:
            return None
        if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > limit:
            self.fail(f"{self._where}.{key} is not an array of at most {limit} entries")
        return value

    def integers(self, key: str, default: Any = ..., *, high: int = 2**31, limit: int = 64) -> Any:
        """An array of integers within [0, high], as a tuple."""
        items = self.array(key, default, limit=limit)
        if items is None:
            return None
        if not all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i <= high for i in items):
            self.fail(f"{self._where}.{key} holds something other than integers between 0 and {high}")
        return tuple(items)

    def choice(self, key: str, allowed: tuple[str, ...], default: Any = ...) -> Any:
        """One of the allowed strings."""
        value = self._get(key, default, "a string")
        if value is None and default is None:
            return None
        if value not in allowed:
            self.fail(f"{self._where}.{key} is not one of {', '.join(allowed)}")
        return value
