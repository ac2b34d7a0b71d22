"""Assigns tests to the default tier or to one of the rings.

A test is in the default tier unless a line of :data:`RINGS` names it, its file or its folder. The
longest matching name decides, so that :data:`SMOKE` keeps single tests of a ring in the default
tier. A name is a folder, a file, a test, or one case of a test, as pytest writes them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """A group of tests; ``alone``: they measure time, so no other test runs at the same time."""

    name: str
    description: str
    tests: tuple[str, ...]
    alone: bool = False


DAEMON = "tests/daemon/"
RINGS = (
    Ring(
        "daemon",
        "daemon processes in every situation: kills, cuts, full disks, reloads, backups",
        (
            DAEMON,
            "tests/client/test_spsctl.py",
            "tests/client/test_hostile_texts.py",
            "tests/client/test_homes.py",
            "tests/testing/test_daemon.py",
            "tests/testing/test_plugin.py::test_examples_of_the_document_run",
        ),
    ),
    Ring(
        "conformance",
        "the known facts of the API, servers that break one each, and random requests",
        (
            "tests/testing/test_conformance.py",
            "tests/testing/test_conformance_broken.py",
            "tests/testing/test_strategies.py",
            "tests/daemon/test_fuzz.py",
        ),
    ),
    Ring(
        "long",
        "the long tests: a fault at every step, thousands of sequences and jobs, the state machine",
        (
            "tests/faults/test_every_step.py::test_every_step",
            "tests/faults/test_every_step.py::test_a_call_that_always_fails_does_not_end_the_daemon_for_ever",
            "tests/faults/test_sequences.py::test_random_origins",
            "tests/jobs/test_mirrors.py::test_many_scripts_end_with_the_right_bytes_or_a_failure",
            "tests/daemon/test_machine.py",
            "tests/daemon/test_soak.py",
            "tests/daemon/test_scale.py::test_a_kill_among_a_thousand_jobs_loses_none",
            "tests/programs/test_league.py::test_spsd_is_right_wherever_that_is_possible",
        ),
    ),
    Ring(
        "large",
        "images of 1 and 5 GiB in little memory",
        (
            "tests/daemon/test_scale.py::test_five_gibibytes_in_little_memory",
            "tests/daemon/test_upload.py::test_four_large_ones_at_once_in_little_memory",
        ),
    ),
    Ring(
        "powercut",
        "power cuts after a sample of the disk effects, over FUSE (scripts/powercut: after each)",
        (
            "tests/powercut/test_powercut.py::test_a_sample_of_cuts",
            "tests/powercut/test_powercut.py::test_without_a_needed_sync_a_promise_breaks",
            "tests/powercut/test_powercut.py::test_a_first_start_without_any_sync_is_detected",
            "tests/powercut/test_powercut.py::test_an_install_without_renames_is_detected",
        ),
    ),
    Ring("browser", "the dashboard in Chromium", ("tests/browser/",)),
    Ring(
        "servers",
        "nginx, Apache and lighttpd as origins, nginx in front of the daemon",
        ("tests/servers/",),
    ),
    Ring(
        "scanners",
        "slowhttptest, sslscan and wapiti attack the daemon",
        ("tests/scanners/",),
        alone=True,
    ),
    Ring(
        "images",
        "images of genisoimage and xorriso, and those of Debian packages",
        ("tests/slots/test_image_makers.py",),
    ),
    Ring(
        "proxy",
        "squid between the daemon and its origins",
        ("tests/transfer/http/test_proxy.py", "tests/daemon/test_proxy.py"),
    ),
    Ring(
        "prometheus",
        "Prometheus scrapes the daemon, and promtool tests each alert",
        ("tests/daemon/test_prometheus.py",),
    ),
    Ring(
        "ansible", "the collection, its role and playbooks; a fleet with a cache", ("tests/fleet/",)
    ),
    Ring(
        "packaging",
        "the wheel in fresh environments, and scripts/demo",
        ("tests/test_packaging.py", "tests/programs/test_demo.py"),
    ),
    Ring(
        "mutation",
        "a sample of scripts/mutation: changed rules that a test must notice",
        ("tests/programs/test_mutation.py",),
    ),
    Ring(
        "bench",
        "scripts/bench, and tests that measure time: these run alone",
        (
            "tests/programs/test_bench.py",
            "tests/daemon/test_hostile_clients.py",
            "tests/daemon/test_loop.py::test_downloads_run_at_a_lower_priority_than_requests",
        ),
        alone=True,
    ),
)
SMOKE = (
    # Start, readiness, log-in, a fetch, a cancel, a crash, a reboot, a stop.
    "tests/testing/test_plugin.py::test_examples_of_the_document_run[test_my_server]",
    "tests/daemon/test_service.py",
    "tests/daemon/test_session.py",
    "tests/daemon/test_public_client.py",
    "tests/daemon/test_cancel.py::test_cancel_while_downloading",
    "tests/daemon/test_crash.py::test_a_job_is_on_disk_when_202_arrives",
    "tests/daemon/test_crash.py::test_a_polite_stop_is_quick_and_keeps_the_bytes",
    "tests/daemon/test_crash.py::test_a_download_continues_after_a_kill_with_a_conditional_range",
    "tests/daemon/test_boot.py::test_a_choice_takes_effect_with_a_reboot",
    "tests/daemon/test_events.py::test_a_stream_has_all_events_of_a_download",
    "tests/daemon/test_doctor.py::test_a_sound_installation_has_no_problem",
    "tests/daemon/test_signals.py::test_a_hangup_during_the_start_is_answered_after_it",
    "tests/daemon/test_upload.py::test_four_at_once_in_little_memory",
    "tests/powercut/test_powercut.py::test_a_sample_of_cuts[fetch]",
    "tests/testing/test_conformance.py::test_every_fact_holds_at_spsd[tls]",
    # The documents agree with the daemon.
    "tests/daemon/test_api_docs.py",
    "tests/daemon/test_failure_codes.py::test_every_code_has_a_test",
    "tests/daemon/test_log.py::test_triggers_and_states_of_the_log_are_documented",
    "tests/daemon/test_monitoring.py::test_the_dashboard_is_well_formed",
    "tests/daemon/test_monitoring.py::test_the_dashboard_names_existing_metrics",
    "tests/daemon/test_monitoring.py::test_the_dashboard_shows_every_metric",
    "tests/daemon/test_monitoring.py::test_the_rules_are_well_formed",
    "tests/daemon/test_monitoring.py::test_the_rules_name_existing_metrics",
    "tests/daemon/test_prometheus.py::test_every_rule_has_a_case",
    # Fast tests of the collection and of the programs.
    "tests/fleet/test_collection.py::test_the_lists_name_every_module",
    "tests/fleet/test_collection.py::test_the_document_has_the_variables_of_the_playbook",
    "tests/fleet/test_measuring.py::test_times_are_ratios_to_one_without_a_cache",
    "tests/fleet/test_role.py::test_the_files_of_the_role_are_those_of_spsd",
    "tests/programs/test_mutation.py::test_a_rule_is_changed_in_all_its_parts",
    "tests/programs/test_bench.py::test_every_contender_has_its_name",
    "tests/programs/test_bench.py::test_every_goal_has_a_verdict",
    "tests/programs/test_bench.py::test_percentiles_are_measured_values",
    "tests/programs/test_bench.py::test_ratios_are_of_medians_and_the_fastest_peer_is_no_floor",
    "tests/programs/test_bench.py::test_the_daemon_is_polled_often_only_near_the_end",
)


def ring_of(test: str) -> Ring | None:
    """The ring of a test, by its node id from the root of the project; None: the default tier."""
    _, ring = max(
        ((name, ring) for name, ring in _named() if covers(name, test)),
        key=lambda named: len(named[0]),
        default=("", None),
    )
    return ring


def unused_names(tests: Iterable[str]) -> list[str]:
    """The names in the tables that cover none of the tests."""
    known = list(tests)
    return [name for name, _ in _named() if not any(covers(name, test) for test in known)]


def covers(name: str, test: str) -> bool:
    """Whether ``name`` is that of the test, or of a file or folder that contains it."""
    if not test.startswith(name):
        return False
    return name.endswith("/") or test[len(name) : len(name) + 1] in ("", "/", ":", "[")


def _named() -> Iterator[tuple[str, Ring | None]]:
    for ring in RINGS:
        for name in ring.tests:
            yield name, ring
    for name in SMOKE:
        yield name, None
