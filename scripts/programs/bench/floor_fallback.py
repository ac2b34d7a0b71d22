"""The floor in Python, for machines without a C compiler.

    floor_fallback.py HOST PORT PATH FILE SHA256

Like floor.c it has a thread that receives, one that hashes and one that writes, over a ring of
page-aligned buffers.
"""

import hashlib
import mmap
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator

SIZE = 1024 * 1024
PAGE = 4096
RING = 4
Work = queue.SimpleQueue[tuple[mmap.mmap, int] | None]


def main(host: str, port: str, path: str, name: str, sha256: str) -> int:
    file = _open(name)
    digest = hashlib.sha256()
    free: queue.Queue[mmap.mmap] = queue.Queue()
    for _ in range(RING):
        free.put(mmap.mmap(-1, SIZE))
    to_hash, to_write, hashed = Work(), Work(), threading.Semaphore(0)

    def hash_block(buffer: mmap.mmap, length: int) -> None:
        digest.update(memoryview(buffer)[:length])
        hashed.release()

    def write_block(buffer: mmap.mmap, length: int) -> None:
        # O_DIRECT writes whole pages: the last block is padded, and the file truncated at the end.
        os.write(file, memoryview(buffer)[: -(-length // PAGE) * PAGE])
        hashed.acquire()
        free.put(buffer)

    threads = [_thread(to_hash, hash_block), _thread(to_write, write_block)]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: floor\r\n\r\n".encode())
        body = connection.makefile("rb", buffering=SIZE)
        total = left = _length(iter(body.readline, b"\r\n"))
        while left:
            buffer = free.get()
            size = min(SIZE, left)
            if body.readinto(memoryview(buffer)[:size]) != size:
                sys.exit("floor: the body is shorter than its Content-Length")
            to_hash.put((buffer, size))
            to_write.put((buffer, size))
            left -= size
    for work, thread in zip((to_hash, to_write), threads, strict=True):
        work.put(None)
        thread.join()
    os.ftruncate(file, total)
    os.fsync(file)
    return 0 if digest.hexdigest() == sha256 else 1


def _open(name: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        return os.open(name, flags | os.O_DIRECT, 0o600)
    except OSError:
        return os.open(name, flags, 0o600)


def _length(head: Iterator[bytes]) -> int:
    length = 0
    for line in head:
        field, _, value = line.partition(b":")
        if field.lower() == b"content-length":
            length = int(value)
    return length


def _thread(work: Work, process: Callable[[mmap.mmap, int], None]) -> threading.Thread:
    def run() -> None:
        while (block := work.get()) is not None:
            process(*block)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
