"""The board is named from the device tree below any root."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.detect import compatible, detect, model


def _machine(root: Path, *names: str, tree: str = "proc/device-tree") -> Path:
    folder = root / tree
    folder.mkdir(parents=True)
    (folder / "compatible").write_bytes(b"".join(name.encode() + b"\0" for name in names))
    (folder / "model").write_bytes(b"Some Board Rev 1.0\0")
    return root


@pytest.mark.parametrize(
    ("names", "profile"),
    [
        (("raspberrypi,5-model-b", "brcm,bcm2712"), "raspberry-pi-5"),
        (("raspberrypi,4-model-b", "brcm,bcm2711"), "raspberry-pi-4"),
        (("raspberrypi,model-zero-2-w", "brcm,bcm2837"), "raspberry-pi-zero-2w"),
        (("nvidia,p3768-0000+p3767-0005-super", "nvidia,tegra234"), "jetson-orin-nano"),
        (("nvidia,p3450-0000", "nvidia,tegra210"), "jetson-nano"),
        (("google,imx8mq-phanbell", "fsl,imx8mq"), "coral-dev-board"),
        (("fsl,imx8mp-evk", "fsl,imx8mp"), "imx8mp-evk"),
        (("radxa,rock-5b", "rockchip,rk3588"), "rock-5b"),
        (("linux,dummy-virt",), "qemu-virt"),
        (("brcm,bcm2712",), None),
    ],
)
def test_the_first_known_compatible_names_the_board(
    tmp_path: Path, names: tuple[str, ...], profile: str | None
) -> None:
    assert detect(_machine(tmp_path, *names)) == profile


def test_the_second_tree_is_read_when_the_first_is_absent(tmp_path: Path) -> None:
    root = _machine(tmp_path, "linux,dummy-virt", tree="sys/firmware/devicetree/base")
    assert detect(root) == "qemu-virt"
    assert model(root) == "Some Board Rev 1.0"


def test_a_machine_without_a_device_tree_is_nothing(tmp_path: Path) -> None:
    assert compatible(tmp_path) == ()
    assert detect(tmp_path) is None
    assert model(tmp_path) is None


def test_broken_bytes_are_no_crash(tmp_path: Path) -> None:
    root = _machine(tmp_path, "x")
    (root / "proc/device-tree/compatible").write_bytes(b"\xff\xfe\0\0linux,dummy-virt")
    assert detect(root) == "qemu-virt"


def test_a_machine_without_a_device_tree_reads_no_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs milliseconds of a start."""

    def read(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("device_profiles.detect.load_profile", read)
    assert detect(tmp_path) is None
