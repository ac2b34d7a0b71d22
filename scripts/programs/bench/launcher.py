"""Runs a command and prints its cost as JSON: wall and CPU time in seconds, peak memory in KiB.

It is a small process without site packages, because the peak that the kernel reports for a child
is never below the size of the process that it was forked from.
"""

import os
import sys
import time


def main(command: list[str]) -> int:
    began = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=_QUIET)
    _, status, used = os.wait4(child, 0)
    wall = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    print(
        f'{{"status": {code}, "wall_s": {wall:.6f}, "cpu_s": {cpu:.6f},'
        f' "peak_kib": {used.ru_maxrss}}}'
    )
    return 0


_QUIET = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
