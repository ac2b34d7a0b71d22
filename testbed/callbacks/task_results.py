"""Writes the results of a play as lines of JSON to the file that TASK_RESULTS_FILE names."""

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_results
type: notification
short_description: results as JSON lines
description: For tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "task_results"

    def _write_result(self, outcome, result):
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
        with Path(os.environ["TASK_RESULTS_FILE"]).open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._write_result("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write_result("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._write_result("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._write_result("skipped", result)

    def v2_playbook_on_stats(self, stats):
        self._write({"stats": {host: stats.summarize(host) for host in stats.processed}})
