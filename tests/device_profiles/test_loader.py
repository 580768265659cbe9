"""The loader accepts the shipped profiles and says file, key and allowed values of what it refuses."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from device_profiles import vocabulary
from device_profiles.loader import (
    list_accessories,
    list_profiles,
    load_accessory,
    load_profile,
    parse_profile,
)
from device_profiles.profile import ProfileError
from firmware_py.contracts.configuration import RECIPES

BOARDS = {
    "coral-dev-board",
    "imx8mp-evk",
    "jetson-nano",
    "jetson-orin-nano",
    "qemu-virt",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "raspberry-pi-zero-2w",
    "rock-5b",
    "simulated",
}


def _pi5() -> str:
    return (resources.files("device_profiles.boards") / "raspberry-pi-5.toml").read_text(encoding="utf-8")


def _refused(old: str, new: str) -> str:
    text = _pi5()
    assert old in text
    with pytest.raises(ProfileError) as caught:
        parse_profile(text.replace(old, new, 1), file="my.toml")
    assert caught.value.code == "profile_invalid"
    assert caught.value.hint
    return caught.value.message


def test_every_board_of_the_issue_is_shipped() -> None:
    assert set(list_profiles()) == BOARDS
    assert list_accessories() == ("coral-usb",)


@pytest.mark.parametrize("name", list_profiles())
def test_a_shipped_board_loads(name: str) -> None:
    board = load_profile(name)
    assert board.name == name
    assert set(board.quality) == set(vocabulary.QUALITY_RULES)


@pytest.mark.parametrize("name", ["raspberry-pi-5", "raspberry-pi-zero-2w", "jetson-orin-nano", "simulated"])
def test_the_boards_of_the_demo_can_be_simulated_with_energy(name: str) -> None:
    board = load_profile(name)
    assert board.can_simulate
    assert board.simulation.busy_w is not None
    assert board.rails[0].sensor == "ina219"
    assert board.rails[0].idle_w is not None


def test_a_slower_board_has_the_larger_factor() -> None:
    factors = {name: load_profile(name).simulation.speed_factor or 0.0 for name in BOARDS}
    assert factors["raspberry-pi-zero-2w"] > factors["raspberry-pi-4"] > factors["raspberry-pi-5"] > 1.0


def test_the_coral_stick_is_an_accessory_with_the_edge_tpu() -> None:
    stick = load_accessory("coral-usb")
    assert [delegate.name for delegate in stick.delegates] == ["edgetpu"]
    assert "18d1:9302" in stick.usb_ids


def test_recipes_are_those_of_the_bundles() -> None:
    assert set(vocabulary.RECIPES) == set(RECIPES)


def test_a_tenth_of_an_ohm_is_refused_where_the_supply_saturates_it() -> None:
    message = _refused("shunt_ohm = 0.01", "shunt_ohm = 0.1")
    assert message == "my.toml: rails[0].shunt_ohm is 0.1 and saturates at 5 A; allowed: at most 0.0640"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cores = 4", "cores = 0", "my.toml: cores is 0; allowed: an integer from 1 to 256"),
        ("cores = 4", "", "my.toml: cores is missing"),
        ("cores = 4", "cores = true", "my.toml: cores is True"),
        ("cores = 4", "cores = 4\ncolour = 'red'", "my.toml: colour is not a key; allowed: arch, console"),
        ('arch = "aarch64"', 'arch = "sparc"', "my.toml: arch is 'sparc'; allowed: aarch64, armv7l, x86_64"),
        ('sensor = "ina219"', 'sensor = "ina220"', "rails[0].sensor is 'ina220'; allowed: none, ina219"),
        ('recipe = "dyn8"', 'recipe = "q4"', "delegates[0].recipe is 'q4'; allowed: fp32"),
        ('name = "xnnpack"', 'name = "cuda"', "delegates[0].name is 'cuda'; allowed: xnnpack"),
        ("bus_range_v = 16.0", "bus_range_v = 20.0", "rails[0].bus_range_v is 20; allowed: 16, 32"),
        ("address = 0x40", "address = 0x50", "rails[0].address is 0x50; allowed: 0x40 to 0x4f"),
        ("supply_v = 5.1", "supply_v = 30.0", "rails[0].supply_v is 30; allowed: within bus_range_v"),
        ('grade = "A"', 'grade = "A"\nshunt_tolerance = 1', "rails[0].shunt_tolerance is 1; allowed:"),
        ('grade = "A"', 'grade = "A"\nreference_u95 = 0.1', "rails[0].reference_u95 is 0.1; allowed:"),
        (
            'sensor_calibrated = { status = "todo", reason = "no board of this kind was at hand" }',
            'sensor_calibrated = { status = "done" }',
            "quality.sensor_calibrated.status is done, but the figure is missing",
        ),
        ("bus = 1\n", "", "rails[0].bus is missing (an ina219 rail needs it)"),
        ("idle_w = 3.3\n", "", "quality.idle_power.status is done, but the figure is missing"),
        ("baud = 115200", "baud = 'fast'", "console.baud is 'fast'"),
        ('match = ["raspberrypi,5-model-b"]', "match = [5]", "match is not an array of strings"),
        ("[sources]", "[source]", "sources is missing (a table)"),
        ('name = "raspberry-pi-5"', 'name = ""', "name is not a string with something in it"),
        ("cores = 4", "cores = ", "my.toml is not TOML"),
        (
            'sensor_calibrated = { status = "todo", reason = "no board of this kind was at hand" }',
            'sensor_calibrated = { status = "todo" }',
            "quality.sensor_calibrated.reason is missing (status todo needs one)",
        ),
    ],
)
def test_a_fault_names_file_key_and_what_is_allowed(old: str, new: str, says: str) -> None:
    assert says in _refused(old, new)


def test_a_rail_says_how_well_its_shunt_is_known() -> None:
    text = _pi5().replace(
        'sensor_calibrated = { status = "todo", reason = "no board of this kind was at hand" }',
        'sensor_calibrated = { status = "done" }',
    )
    calibrated = text.replace('grade = "A"', 'grade = "A"\nshunt_tolerance = 0.005\nreference_u95 = 0.001', 1)
    (rail,) = parse_profile(calibrated, file="my.toml").rails
    assert (rail.shunt_tolerance, rail.reference_u95) == (0.005, 0.001)
    (rail,) = parse_profile(_pi5(), file="my.toml").rails
    assert (rail.shunt_tolerance, rail.reference_u95) == (None, None)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ProfileError, match="no profile 'pi5'") as caught:
        load_profile("pi5")
    assert caught.value.code == "profile_missing"
    assert "raspberry-pi-5" in caught.value.hint


def test_a_file_of_the_user_is_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_pi5().replace('name = "raspberry-pi-5"', 'name = "mine"'), encoding="utf-8")
    assert load_profile(path).name == "mine"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"gone\.toml cannot be read"):
        load_profile(tmp_path / "gone.toml")
