"""Which tests a module's mutants have to get past: the nearest first, the wide ones for the rest.

They are the fast ones: nothing here starts a daemon. The generated documents count as tests of
what is printed from a table.
"""

from collections.abc import Mapping
from pathlib import Path

_RESUME = (
    "tests/transfer/rules/test_resume.py",
    "tests/transfer/rules/test_messages.py",
    "tests/transfer/rules/test_resume_edges.py",
    "tests/test_docs.py::test_the_generated_parts_are_fresh",
    "tests/transfer/rules/test_resume_properties.py",
)
NEAREST: Mapping[str, tuple[str, ...]] = {
    "account": ("tests/accounts/test_model.py",),
    "answering": _RESUME,
    "asking": _RESUME,
    "boot": ("tests/slots/test_boot.py",),
    "certificate_time": ("tests/transfer/http/test_certificate_time.py",),
    "chunks": ("tests/transfer/rules/test_chunks.py",),
    "database": ("tests/storage/test_inspection.py",),
    "decision": _RESUME,
    "diagnosis": ("tests/doctor/test_rules.py",),
    "digest": ("tests/foundation/test_digest.py",),
    "exchange": _RESUME,
    "errors": ("tests/foundation/test_errors.py",),
    "failure": (
        "tests/foundation/test_failures.py",
        "tests/jobs/test_job.py",
        "tests/test_docs.py::test_the_generated_parts_are_fresh",
    ),
    "finding": ("tests/doctor/test_finding.py",),
    "head_rows": _RESUME,
    "host": ("tests/system/test_host_rules.py",),
    "image": ("tests/domain/test_values.py",),
    "integrity": ("tests/slots/test_integrity_rules.py",),
    "job": ("tests/jobs/test_job_moves.py", "tests/jobs/test_job.py"),
    "lifecycle": (
        "tests/jobs/test_lifecycle.py",
        "tests/test_docs.py::test_the_generated_parts_are_fresh",
    ),
    "mirror": (
        "tests/transfer/rules/test_sources_edges.py",
        "tests/transfer/rules/test_sources.py",
    ),
    "parts": _RESUME,
    "patience": ("tests/web/test_patience.py",),
    "proxy": ("tests/transfer/rules/test_proxy.py",),
    "rate": ("tests/transfer/rules/test_stall.py",),
    "receiving": (
        "tests/transfer/rules/test_body.py",
        "tests/test_docs.py::test_the_generated_parts_are_fresh",
    ),
    "redirect": (
        "tests/transfer/rules/test_body.py",
        "tests/transfer/rules/test_redirect.py",
        "tests/test_docs.py::test_the_generated_parts_are_fresh",
    ),
    "resume": _RESUME,
    "retry": ("tests/transfer/rules/test_retry.py",),
    "selection": ("tests/web/test_selection.py",),
    "source": ("tests/transfer/rules/test_url.py", "tests/domain/test_values.py"),
    "throttle": ("tests/accounts/test_throttle.py",),
    "program": ("tests/slots/test_checks.py",),
    "upgrade": ("tests/slots/test_checks.py",),
    "staging_key": ("tests/transfer/test_ports.py",),
    "recovery": ("tests/jobs/test_recovery.py",),
    "job_repository": (
        "tests/jobs/test_sqlite.py",
        "tests/web/test_selection.py",
        "tests/jobs/test_recovery.py",
    ),
}
WIDE = (
    "tests/foundation",
    "tests/domain",
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
    "tests/test_docs.py::test_the_generated_parts_are_fresh",
)


def nearest(module: str) -> tuple[str, ...]:
    """The tests of ``module`` (its last name); all of the domain's where none is named.

    Raises:
        FileNotFoundError: one is named that does not exist; it would notice everything.
    """
    tests = NEAREST.get(module, ("tests/domain",))
    for test in tests:
        if not Path(test.partition("::")[0]).exists():
            raise FileNotFoundError(test)
    return tests
