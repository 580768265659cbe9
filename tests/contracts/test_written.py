"""Figures as people read them."""

from __future__ import annotations

from firmware_py.contracts.written import plain, si, spread


def test_three_digits_with_an_si_prefix() -> None:
    assert (si(1.5, "J"), si(0.0123, "J"), si(4.2e-7, "J")) == ("1.5 J", "12.3 mJ", "0.42 µJ")
    assert si(0.0, "W") == "0 µW"


def test_a_figure_and_its_bound_share_unit_and_digits() -> None:
    """No reader should have to convert between the two."""
    assert spread(0.00165, 0.000619, "J") == "1.65 ± 0.62 mJ"
    assert spread(0.000674, 0.000337, "J") == "674 ± 337 µJ"
    assert spread(0.0123, 0.0045, "J") == "12.3 ± 4.5 mJ"
    assert spread(1.5, None, "J") == "1.5 J"


def test_a_bound_is_written_as_it_was_meant() -> None:
    assert (plain(2.0**20), plain(0.001), plain(-5)) == ("1048576", "0.001", "-5")
