"""Freed memory goes back to the system."""

from pathlib import Path

from spsd.system.memory import return_freed_memory

MIB = 2**20


def resident() -> int:
    _, pages, *_ = Path("/proc/self/statm").read_text().split()
    return int(pages) * 4096


def test_memory_below_a_piece_in_use_is_returned() -> None:
    pieces = [bytes(8192) for _ in range(64 * MIB // 8192)]
    last = bytes(8192)
    del pieces
    before = resident()
    return_freed_memory()
    assert before - resident() > 32 * MIB
    assert last
