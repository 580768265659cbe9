"""Records: immutable for the type checker, cheap to make when a request runs and when a node starts.

A frozen dataclass sets each field through `object.__setattr__`: 1.1 µs for ten fields, where a plain one takes 0.2 µs
(CPython 3.11), and a request makes about fifteen of them. It also has six methods written and compiled for it when
its module loads: 1.1 ms a class on a 2 GHz host, of which a start loads a hundred. So `record` is a frozen dataclass
to mypy, which refuses every assignment, and when it runs a class without that guard, of which only `__init__` is
compiled; equality, hash and form are those of a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool) -> Any:  # noqa: ARG001 - the form that mypy knows
        """As `dataclass(frozen=True, slots=True)`, which is how it is to be called."""

        def make(plain: type) -> type:
            made = dataclass(slots=slots, eq=False, repr=False)(plain)
            compared = _values([field.name for field in fields(made) if field.compare])
            shown = [field.name for field in fields(made) if field.repr]

            def equals(self: Any, other: Any) -> Any:
                return compared(self) == compared(other) if type(other) is type(self) else NotImplemented

            def digest(self: Any) -> int:
                return hash(compared(self))

            def form(self: Any) -> str:
                values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
                return f"{type(self).__qualname__}({values})"

            made.__eq__, made.__hash__, made.__repr__ = equals, digest, form
            return made

        return make


def _values(names: list[str]) -> Any:
    """Reads these fields of a record at once."""
    return attrgetter(*names) if names else lambda _: ()
