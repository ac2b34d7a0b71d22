"""A typical download script in Python: python_peer.py LIBRARY URL FILE SHA256 [CA].

It reads 1 MiB at a time, hashes and writes each block, syncs the file, and compares the digest.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = 1024 * 1024


def _requests(url: str, authority: str | None) -> Iterator[bytes]:
    import requests  # noqa: PLC0415 - only the measured library is imported

    with requests.get(url, stream=True, timeout=60, verify=authority or True) as response:
        response.raise_for_status()
        yield from response.iter_content(BLOCK)


def _urllib3(url: str, authority: str | None) -> Iterator[bytes]:
    import urllib3  # noqa: PLC0415

    with urllib3.PoolManager(ca_certs=authority) as pool:
        response = pool.request("GET", url, preload_content=False)
        if response.status != 200:
            sys.exit(f"status {response.status}")
        while block := response.read(BLOCK):
            yield block


def _httpx(url: str, authority: str | None) -> Iterator[bytes]:
    import ssl  # noqa: PLC0415

    import httpx  # noqa: PLC0415

    verify = ssl.create_default_context(cafile=authority) if authority else True
    with httpx.stream("GET", url, timeout=60, verify=verify) as response:
        response.raise_for_status()
        yield from response.iter_bytes(BLOCK)


def main(library: str, url: str, name: str, sha256: str, authority: str | None = None) -> int:
    blocks = {"requests": _requests, "urllib3": _urllib3, "httpx": _httpx}[library]
    digest = hashlib.sha256()
    with Path(name).open("wb") as file:
        for block in blocks(url, authority):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return 0 if digest.hexdigest() == sha256 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
