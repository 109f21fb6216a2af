"""What a benchmark learns from the sensors of boards that are laid out as files."""

from __future__ import annotations

import pytest
from boards import PMIC_WATTS, LaidOut, lay_out

from fer_edge.board import read_board, read_clocks, read_health
from fer_edge.device.bench.sensors import Look, Sensors, Watch, held_back, summed_up
from fer_edge.power import read_power


@pytest.fixture
def pi_5(tmp_path, monkeypatch) -> LaidOut:
    return lay_out("pi 5", tmp_path, monkeypatch)


def _look(board: LaidOut) -> Look:
    return Sensors(board.root).look()


@pytest.mark.parametrize(
    ("name", "cpu", "mhz"),
    [("zero 2 w", "Cortex-A53", 1000), ("pi 4", "Cortex-A72", 1800), ("pi 5", "Cortex-A76", 2400)],
)
def test_a_laid_out_board_is_named_with_its_cores_and_clock(name, cpu, mhz, tmp_path, monkeypatch):
    board = lay_out(name, tmp_path, monkeypatch)
    assert read_board(board.root).cpu == cpu
    (clock,) = read_clocks(board.root)
    assert clock.cores == "0 1 2 3"
    assert clock.asked_mhz == clock.allowed_mhz == clock.possible_mhz == mhz
    assert read_health(board.root).throttled == 0


def test_cores_of_two_kinds_and_unknown_ones_are_named(tmp_path, monkeypatch):
    board = lay_out("pc", tmp_path, monkeypatch)
    board.write("proc/cpuinfo", "CPU part : 0xd05\nCPU part : 0xd05\nCPU part : 0xd99\n")
    assert read_board(board.root).cpu == "Cortex-A55 + Arm part 0xd99"


def test_rails_of_a_laid_out_pi_5_add_up_and_others_have_none(pi_5, tmp_path, monkeypatch):
    power = read_power()
    assert power.watts == pytest.approx(PMIC_WATTS)
    assert set(power.rails_watts) == {"3V7_WL_SW", "3V3_SYS", "VDD_CORE"}
    assert power.input_volts == 5.0853
    assert Sensors(pi_5.root).idle_watts() == pytest.approx(PMIC_WATTS)
    lay_out("pi 4", tmp_path, monkeypatch)
    assert read_power() is None


def test_a_laid_out_pc_tells_nothing_and_that_is_no_error(tmp_path, monkeypatch):
    look = _look(lay_out("pc", tmp_path, monkeypatch))
    told = look.to_dict()
    assert told.pop("throttle_reasons") == []
    assert set(told.values()) == {None}
    assert held_back(look, [look], look) == (None, [])


def test_the_kernels_file_speaks_where_the_firmware_may_not_be_asked(tmp_path, monkeypatch):
    board = lay_out("zero 2 w", tmp_path, monkeypatch)
    calm = _look(board)
    assert held_back(calm, [], calm) == (False, [])
    # its upper bits are of the last two seconds, not of the time since boot
    board.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n")
    strained = _look(board)
    assert strained.health.throttle_reasons == ("under-voltage now", "throttled now")
    assert held_back(calm, [strained], calm)[0] is True


def test_bits_that_were_set_before_a_run_do_not_spoil_it(pi_5):
    pi_5.throttled(0x50000)
    look = _look(pi_5)
    assert held_back(look, [look], look) == (False, [])


@pytest.mark.parametrize(
    ("bits", "reason"),
    [
        (0x10000, "under-voltage while measuring"),
        (0x20002, "frequency capped while measuring"),
        (0x40000, "throttled while measuring"),
        (0x80008, "soft temperature limit while measuring"),
    ],
)
def test_bits_that_are_new_after_a_run_spoil_it(pi_5, bits, reason):
    before = _look(pi_5)
    pi_5.throttled(bits)
    assert held_back(before, [], _look(pi_5)) == (True, [reason])


def test_bits_that_came_and_went_spoil_a_run_even_where_they_were_set_since_boot(pi_5):
    pi_5.throttled(0x40000)
    before = _look(pi_5)
    pi_5.throttled(0x40004)
    during = _look(pi_5)
    assert held_back(before, [during], before) == (True, ["throttled while measuring"])


def test_a_limited_frequency_is_told(pi_5):
    pi_5.clock(asked=1500, allowed=1500, possible=2400, governor="performance")
    pi_5.firmware(measure_clock="frequency(0)=1500010240")
    look = _look(pi_5)
    assert held_back(look, [look], look) == (
        True,
        ["the frequency was limited to 1500 of 2400 MHz"],
    )


def test_cores_that_run_slower_than_the_kernel_asked_for_are_told(pi_5):
    before = _look(pi_5)
    pi_5.firmware(measure_clock="frequency(0)=1800000000")
    assert held_back(before, [_look(pi_5)], before) == (
        True,
        ["the cores ran at 1800 MHz when 2400 were asked for"],
    )


def test_a_watch_looks_while_queries_go_on(pi_5, monkeypatch):
    monkeypatch.setattr("fer_edge.device.bench.sensors._FIRST", 0.01)
    monkeypatch.setattr("fer_edge.device.bench.sensors.EVERY", 0.01)
    with Watch(Sensors(pi_5.root)) as watch:
        while len(watch.looks) < 3:
            pass
    sums = summed_up(watch.looks)
    assert sums["looks"] >= 3
    assert sums["temperature_c_max"] == 48.312
    assert sums["measured_mhz_min"] == 2400.033792
    assert sums["watts_mean"] == pytest.approx(PMIC_WATTS, abs=1e-3)
    assert summed_up([])["watts_mean"] is None


def test_a_watch_that_ends_at_once_has_looked_once(pi_5):
    with Watch(Sensors(pi_5.root)) as watch:
        pass
    assert len(watch.looks) == 1
