"""Which tests run when: the default tier, and the rings around it.

A test is in the default tier unless a line of :data:`RINGS` names it, or what it lies in. The
longest name decides, so that :data:`SMOKE` keeps single tests of a ring in the default tier.
A name is a folder, a file, a test, or one case of a test, as pytest writes them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """``alone``: its tests measure time, so nothing else of the run goes on beside them."""

    name: str
    tells: str
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
            "tests/daemon/test_hostile_clients.py",
            "tests/test_league.py::test_spsd_is_right_wherever_that_is_possible",
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
        "the daemon's disk over FUSE, cut after its effects (scripts/powercut cuts after each)",
        (
            "tests/powercut/test_powercut.py::test_a_sample_of_cuts",
            "tests/powercut/test_powercut.py::test_each_sync_that_the_daemon_needs_is_missed",
            "tests/powercut/test_powercut.py::test_a_first_start_without_any_sync_is_caught",
            "tests/powercut/test_powercut.py::test_an_install_without_renames_is_caught",
        ),
    ),
    Ring("browser", "the dashboard in Chromium", ("tests/browser/",)),
    Ring(
        "servers",
        "nginx, Apache and lighttpd as origins, nginx before the daemon",
        ("tests/servers/",),
    ),
    Ring(
        "proxy",
        "squid between the daemon and its origins",
        ("tests/transfer/http/test_proxy.py", "tests/daemon/test_proxy.py"),
    ),
    Ring(
        "prometheus",
        "Prometheus scrapes the daemon, and promtool tries each alert",
        ("tests/daemon/test_prometheus.py",),
    ),
    Ring(
        "ansible", "the collection, its role and playbooks; a fleet with a cache", ("tests/fleet/",)
    ),
    Ring(
        "packaging",
        "the wheel in fresh environments, and scripts/demo",
        ("tests/test_packaging.py", "tests/test_demo.py"),
    ),
    Ring(
        "mutation",
        "a sample of scripts/mutation: broken rules that a test must notice",
        ("tests/test_mutation.py",),
    ),
    Ring(
        "bench",
        "scripts/bench, and what is said of time: these run alone",
        (
            "tests/test_bench.py",
            "tests/daemon/test_loop.py::test_downloads_run_at_a_lower_priority_than_requests",
        ),
        alone=True,
    ),
)
SMOKE = (
    # It starts, and says so; who may talk to it; a fetch, a cancel, a crash, a reboot, a stop.
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
    "tests/daemon/test_upload.py::test_four_at_once_in_little_memory",
    "tests/powercut/test_powercut.py::test_a_sample_of_cuts[fetch]",
    "tests/testing/test_conformance.py::test_every_fact_holds_at_spsd[tls]",
    # What is written about the daemon is true of it.
    "tests/daemon/test_api_docs.py",
    "tests/daemon/test_failure_codes.py::test_every_code_has_a_test",
    "tests/daemon/test_log.py::test_triggers_and_states_of_the_log_are_documented",
    "tests/daemon/test_monitoring.py::test_the_dashboard_is_well_formed",
    "tests/daemon/test_monitoring.py::test_the_dashboard_names_existing_metrics",
    "tests/daemon/test_monitoring.py::test_the_dashboard_shows_every_metric",
    "tests/daemon/test_monitoring.py::test_the_rules_are_well_formed",
    "tests/daemon/test_monitoring.py::test_the_rules_name_existing_metrics",
    "tests/daemon/test_prometheus.py::test_every_rule_has_a_case",
    # Rules of the rings' own programs, which take no time.
    "tests/fleet/test_collection.py::test_the_lists_name_every_module",
    "tests/fleet/test_collection.py::test_the_table_of_variables_is_the_playbooks",
    "tests/fleet/test_measuring.py::test_times_are_ratios_to_one_without_a_cache",
    "tests/fleet/test_role.py::test_its_files_are_those_of_spsd",
    "tests/test_mutation.py::test_a_rule_is_changed_in_all_its_parts",
    "tests/test_bench.py::test_every_contender_has_its_name",
    "tests/test_bench.py::test_every_goal_has_a_verdict",
    "tests/test_bench.py::test_percentiles_are_values_that_were_seen",
    "tests/test_bench.py::test_ratios_are_of_medians_and_the_fastest_peer_is_no_floor",
    "tests/test_bench.py::test_the_daemon_is_looked_at_often_near_the_end_only",
)


def ring_of(test: str) -> Ring | None:
    """The ring of a test, by its node id from the root of the project; None: the default tier."""
    found = max(
        ((name, ring) for name, ring in _named() if covers(name, test)),
        key=lambda one: len(one[0]),
        default=None,
    )
    return None if found is None else found[1]


def idle(tests: Iterable[str]) -> list[str]:
    """Names of the tables that are no test's any more."""
    known = list(tests)
    return [name for name, _ in _named() if not any(covers(name, test) for test in known)]


def covers(name: str, test: str) -> bool:
    """Whether the test is what ``name`` says, or lies in it."""
    if not test.startswith(name):
        return False
    return name.endswith("/") or test[len(name) : len(name) + 1] in ("", "/", ":", "[")


def _named() -> Iterator[tuple[str, Ring | None]]:
    for ring in RINGS:
        for name in ring.tests:
            yield name, ring
    for name in SMOKE:
        yield name, None
