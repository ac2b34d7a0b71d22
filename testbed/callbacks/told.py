"""What a play tells, as lines of JSON in the file that TOLD_TO names."""

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: told
type: notification
short_description: results as JSON lines
description: For tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "told"

    def _tell(self, outcome, result):
        self._write(
            {
                "outcome": outcome,
                "host": result.host.get_name(),
                "task": result.task.get_name(),
                "result": {
                    name: value
                    for name, value in dict(result.result).items()
                    if name in ("changed", "msg", "diff", "slot", "version", "code")
                },
            }
        )

    def _write(self, line):
        with Path(os.environ["TOLD_TO"]).open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._tell("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._tell("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._tell("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._tell("skipped", result)

    def v2_playbook_on_stats(self, stats):
        self._write({"stats": {host: stats.summarize(host) for host in stats.processed}})
