"""The names a profile may use, each with what it means. A new part adds its name here first."""

from __future__ import annotations

from collections.abc import Mapping

SENSORS: Mapping[str, str] = {
    "none": "no sensor on this rail",
    "ina219": "TI INA219 on I2C, wired by the user as docs/how-to-wire-and-calibrate-ina219.md says",
    "ina3221": "TI INA3221 soldered on the board, one channel a rail",
}

DELEGATES: Mapping[str, str] = {
    "xnnpack": "the runtime's own CPU kernels",
    "edgetpu": "Google Edge TPU through libedgetpu",
    "vx": "VeriSilicon NPU through the TIM-VX delegate",
}

# What the bundle formats know (firmware_py.contracts.configuration.RECIPES); a test compares the two.
RECIPES: tuple[str, ...] = ("fp32", "fp16", "dyn8", "dyn4", "w8", "ethosu", "edgetpu", "vx")

ARCHITECTURES: tuple[str, ...] = ("aarch64", "armv7l", "x86_64")
MEDIA: tuple[str, ...] = ("microsd", "emmc", "nvme", "disk-image", "none")
IMAGE_RECIPES: tuple[str, ...] = ("raspberry-pi", "jetson")
GRADES: tuple[str, ...] = ("A", "B")

STATUSES: Mapping[str, str] = {
    "done": "fulfilled",
    "todo": "not yet; the reason says what is missing",
    "exempt": "does not apply; the reason says why",
}

# Every profile says where it stands on each of these.
QUALITY_RULES: Mapping[str, str] = {
    "facts_sourced": "architecture, cores, memory and match strings have a source that was read",
    "speed_factor": "the simulated board's speed comes from a published benchmark",
    "idle_power": "idle watts come from a published measurement",
    "busy_power": "the watts of a busy core come from a published measurement",
    "sensor_calibrated": "the rail was calibrated against a reference meter, and names its `reference_u95`",
    "detected_on_hardware": "`ciuic profile detect` named this board on the board itself",
    "delegate_parity": "the golden rows pass on each delegate of the ladder",
    "measured_on_hardware": "accuracy, latency and joules were measured on the board",
}

# INA219 datasheet (TI SBOS448G): section 7.5 gives a full scale of 320 mV at PGA /8, section 7.3 an
# absolute maximum of 26 V on the bus pins, section 8.5 the bus ranges 16 V and 32 V.
INA219_FULL_SCALE_V = 0.320
INA219_MAX_BUS_V = 26.0
INA219_BUS_RANGES_V: tuple[float, ...] = (16.0, 32.0)
INA219_ADDRESSES: tuple[int, ...] = tuple(range(0x40, 0x50))
