"""The tests with which a module's mutants are tried: the nearest first, then all of WIDE.

They are fast tests: none of them starts a daemon. The test of the generated documents counts as a
test of the tables that documents are generated from.
"""

from collections.abc import Mapping
from pathlib import Path

_DOCS = "tests/test_docs.py::test_the_generated_parts_are_fresh"
_RESUME = (
    "tests/transfer/rules/test_resume.py",
    "tests/transfer/rules/test_messages.py",
    "tests/transfer/rules/test_resume_edges.py",
    _DOCS,
    "tests/transfer/rules/test_resume_properties.py",
)
_BODY = ("tests/transfer/rules/test_body.py", _DOCS)
_JOB = ("tests/jobs/test_job_moves.py", "tests/jobs/test_job.py")

NEAREST: Mapping[str, tuple[str, ...]] = {
    "spsd/accounts/model.py": ("tests/accounts/test_model.py", "tests/accounts/test_throttle.py"),
    "spsd/decision_table.py": _RESUME,
    "spsd/digest.py": ("tests/foundation/test_digest.py",),
    "spsd/doctor/rules.py": ("tests/doctor/test_rules.py", "tests/doctor/test_finding.py"),
    "spsd/errors.py": ("tests/foundation/test_errors.py", "tests/web/test_answers.py"),
    "spsd/failures.py": ("tests/foundation/test_failures.py", "tests/jobs/test_job.py", _DOCS),
    "spsd/jobs/job.py": (*_JOB, "tests/web/test_selection.py"),
    "spsd/jobs/lifecycle.py": ("tests/jobs/test_lifecycle.py", _DOCS),
    "spsd/jobs/recovery.py": ("tests/jobs/test_recovery.py",),
    "spsd/jobs/sqlite.py": (
        "tests/jobs/test_sqlite.py",
        "tests/web/test_selection.py",
        "tests/jobs/test_recovery.py",
    ),
    "spsd/jobs/start_spread.py": ("tests/jobs/test_start_spread.py",),
    "spsd/slots/boot.py": ("tests/slots/test_boot.py",),
    "spsd/slots/checks.py": ("tests/slots/test_checks.py",),
    "spsd/slots/integrity.py": ("tests/slots/test_integrity_rules.py",),
    "spsd/slots/model.py": ("tests/slots/test_model.py",),
    "spsd/storage/faults.py": ("tests/storage/test_inspection.py", _DOCS),
    "spsd/storage/inspection.py": ("tests/storage/test_inspection.py",),
    "spsd/system/host.py": ("tests/system/test_host_rules.py",),
    "spsd/system/program_outcome.py": ("tests/slots/test_checks.py",),
    "spsd/transfer/http/tls.py": ("tests/transfer/http/test_certificate_time.py",),
    "spsd/transfer/ports.py": ("tests/transfer/test_ports.py", *_JOB),
    "spsd/transfer/rules/body.py": _BODY,
    "spsd/transfer/rules/chunks.py": ("tests/transfer/rules/test_chunks.py",),
    "spsd/transfer/rules/messages.py": _RESUME,
    "spsd/transfer/rules/proxy.py": ("tests/transfer/rules/test_proxy.py",),
    "spsd/transfer/rules/redirect.py": ("tests/transfer/rules/test_redirect.py", *_BODY),
    "spsd/transfer/rules/request.py": _RESUME,
    "spsd/transfer/rules/response.py": _RESUME,
    "spsd/transfer/rules/retry.py": ("tests/transfer/rules/test_retry.py",),
    "spsd/transfer/rules/sources.py": (
        "tests/transfer/rules/test_sources_edges.py",
        "tests/transfer/rules/test_sources.py",
    ),
    "spsd/transfer/rules/stall.py": ("tests/transfer/rules/test_stall.py",),
    "spsd/transfer/rules/url.py": ("tests/transfer/rules/test_url.py",),
    "spsd/transfer/worker.py": ("tests/transfer/test_worker_reports.py",),
    "spsd/web/connections/slow_clients.py": ("tests/web/test_slow_clients.py",),
}

RULES = (
    "tests/foundation",
    "tests/accounts/test_model.py",
    "tests/accounts/test_throttle.py",
    "tests/doctor",
    "tests/jobs/test_job.py",
    "tests/jobs/test_job_moves.py",
    "tests/jobs/test_lifecycle.py",
    "tests/slots/test_boot.py",
    "tests/slots/test_checks.py",
    "tests/slots/test_model.py",
    "tests/storage/test_inspection.py",
    "tests/transfer/rules",
    "tests/transfer/test_ports.py",
    "tests/web/test_slow_clients.py",
)
WIDE = (
    *RULES,
    "tests/jobs/test_sqlite.py",
    "tests/jobs/test_recovery.py",
    "tests/transfer/test_attempt.py",
    "tests/transfer/test_parallel.py",
    "tests/jobs/test_run.py",
    "tests/jobs/test_mirrors.py",
    "tests/jobs/test_budget.py",
    "tests/slots/test_upgrade.py",
    "tests/slots/test_integrity.py",
    "tests/accounts/test_service.py",
    "tests/slots/test_upload.py",
    "tests/jobs/test_scheduler.py",
    "tests/web/test_selection.py",
    "tests/web/test_shapes.py",
    "tests/web/test_slots.py",
    _DOCS,
)


def nearest(path: str) -> tuple[str, ...]:
    """The tests nearest to the module at ``path``; for a module without an entry, all of RULES.

    Raises:
        FileNotFoundError: a file does not exist; with it pytest would fail for every mutant.
    """
    tests = NEAREST.get(path, RULES)
    for test in tests:
        if not Path(test.partition("::")[0]).exists():
            raise FileNotFoundError(test)
    return tests
