"""The processes of a run end with it, even if it is killed."""

import os
import select
import signal
import subprocess
import sys

from testbed import needs

PROGRAM = """
import os
import signal

from scripts.programs.powercut.pool import processes

if __name__ == "__main__":
    with processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        signal.pause()
"""


@needs.semaphores()
def test_a_killed_run_leaves_no_process(tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        worker = os.pidfd_open(int(run.stdout.readline()))
        try:
            run.kill()
            run.wait()
            ended, _, _ = select.select([worker], [], [], 20)
            if not ended:
                signal.pidfd_send_signal(worker, signal.SIGKILL)
            assert ended
        finally:
            os.close(worker)
