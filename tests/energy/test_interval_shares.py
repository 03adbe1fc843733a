from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kdtune.energy.interval_shares import Piece, held_milli, pieces_of, split_cpu, split_gpu, split_memory
from kdtune.energy.intervals import memory_uj
from kdtune.energy.ledger import Record
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Counters

from .simulated import W, trial, two_cores

S = 1_000_000_000


def test_an_interval_without_neighbours_is_one_piece():
    assert pieces_of(5, 9, []) == [Piece(5, 9)]


def test_an_interval_is_cut_where_neighbours_change():
    before, came, went = Neighbours(0, 0), Neighbours(6, 1), Neighbours(8, 0)
    assert pieces_of(5, 9, [before, came, went]) == [Piece(5, 6, before), Piece(6, 8, came), Piece(8, 9, went)]


@given(st.lists(st.integers(0, 100), max_size=6), st.integers(0, 100), st.integers(0, 100))
def test_pieces_cover_an_interval_without_overlap(moments, start, length):
    pieces = pieces_of(start, start + length, [Neighbours(t, 1) for t in sorted(moments)])
    assert pieces[0].start_ns == start
    assert pieces[-1].end_ns == start + length
    assert all(a.end_ns == b.start_ns for a, b in zip(pieces, pieces[1:], strict=False))
    assert all(piece.length_ns >= 0 for piece in pieces)


@given(st.integers(1, 5), st.integers(0, 10**10), st.integers(0, 10**10), st.integers(0, 50 * W))
def test_idle_memory_is_split_among_studies_without_remainder(studies, start, length, ram_uw):
    hardware = two_cores(ram_uw=ram_uw)
    pieces = [Piece(start, start + length, Neighbours(0, studies - 1, before)) for before in range(studies)]
    charges = [split_memory(hardware, [], piece) for piece in pieces]
    whole = memory_uj(hardware, start, start + length)
    assert sum(charge["idle"] for charge in charges) == whole
    assert all(sum(charge.values()) == whole for charge in charges)


def test_memory_that_another_study_holds_is_other():
    piece = Piece(0, S, Neighbours(0, 1, 0, cpus_milli=1000))
    assert split_memory(two_cores(), [trial("a", cpus=1)], piece) == {"a": 10 * W, "idle": 0, "other": 10 * W}


def test_two_studies_that_both_hold_the_whole_node_share_its_memory():
    piece = Piece(0, S, Neighbours(0, 1, 0, cpus_milli=2000))
    assert split_memory(two_cores(), [trial("a", cpus=2)], piece) == {"a": 10 * W, "idle": 0, "other": 10 * W}


GPU = [trial("a", gpus={"GPU-a": 1.0})]


def test_a_gpu_that_another_study_holds_is_not_idle_here():
    neighbours = Neighbours(0, 1, 0, 0, {"GPU-a": 1000})
    assert split_gpu(100, "GPU-a", [], [Piece(0, S, neighbours)]) == {"other": 100}


def test_a_gpu_that_no_study_holds_is_split():
    pieces = [Piece(0, S, Neighbours(0, 1, before)) for before in (0, 1)]
    assert [split_gpu(100, "GPU-a", [], [piece])["idle"] for piece in pieces] == [50, 50]


def test_a_gpu_is_shared_while_both_studies_hold_it():
    neighbours = Neighbours(0, 1, 0, 0, {"GPU-a": 1000})
    alone = replace(neighbours, others=0, gpus_milli={})
    pieces = [Piece(0, S, neighbours), Piece(S, 2 * S, alone)]
    # Half of the first second's 150, and all of the second one's. The other study's ledger contains the other half.
    assert split_gpu(300, "GPU-a", GPU, pieces) == {"a": 225, "other": 75}
    assert split_gpu(150, "GPU-a", [trial("b", gpus={"GPU-a": 1.0})], [Piece(0, S, neighbours)])["b"] == 75


def test_a_gpu_that_was_free_before_another_study_took_it_is_idle_until_then():
    neighbours = Neighbours(S, 1, 0, 0, {"GPU-a": 1000})
    pieces = [Piece(0, S, Neighbours(0, 1)), Piece(S, 4 * S, neighbours)]
    assert split_gpu(400, "GPU-a", [], pieces) == {"idle": 50, "other": 350}


def test_the_energy_of_an_idle_cpu_is_shared_with_the_other_study():
    counters = Counters("boot", 0, 0.0, 5)
    before = after = Record("sample", "m", 0, counters, 0)
    charges = [split_cpu(101, [], before, after, [Piece(0, S, Neighbours(0, 1, place))]) for place in (0, 1)]
    assert [charge["idle"] for charge in charges] == [51, 50]
    assert split_cpu(101, [], before, after, [Piece(0, S)])["idle"] == 101


def test_gpu_energy_of_an_interval_of_no_duration_goes_to_its_holder():
    assert split_gpu(7, "GPU-a", GPU, [Piece(5, 5)])["a"] == 7
    assert split_gpu(7, "GPU-a", [], [Piece(5, 5)])["idle"] == 7


def test_what_windows_hold_adds_up():
    assert held_milli([trial("a", cpus=1.5, gpus={"GPU-a": 0.5}), trial("b", cpus=1, gpus={"GPU-a": 1e-9})]) == (
        2500,
        {"GPU-a": 501},
    )
