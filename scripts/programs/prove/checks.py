"""What is tried of each promise: the rows of docs/verified.md, in its order."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One row: the promises by their letters, how they are tried, and the command that does so.

    ``prints`` is a part of the line in which the command prints its count.
    """

    promise: str
    description: str
    command: str
    prints: str


CHECKS = (
    Check(
        "a to f",
        "Each call of a port fails, is cancelled or killed, before and after its effect",
        "scripts/test tests/faults/test_every_step.py",
        "faults at the steps",
    ),
    Check(
        "c",
        "A call of a port fails permanently: neither the start nor the run of the daemon ends",
        "scripts/test tests/faults/test_every_step.py",
        "calls that fail for ever",
    ),
    Check(
        "a to d",
        "The power is cut after every effect on the disk, and what is not synced may be lost",
        "scripts/powercut",
        "remainders of",
    ),
    Check(
        "a to d",
        "Each kind of sync is left out of the record: a promise must break",
        "scripts/powercut --syncs --sample 150",
        "kinds of sync left out",
    ),
    Check(
        "a to f",
        "A state machine combines actions of client, origin and clock with crashes, in any order",
        "scripts/test --long tests/daemon/test_machine.py",
        "steps (machine)",
    ),
    Check(
        "a to f",
        "The state machine kills the daemon at any moment",
        "scripts/test --long tests/daemon/test_machine.py",
        "kills (machine)",
    ),
    Check(
        "a to f",
        "The state machine kills the daemon in the middle of a request",
        "scripts/test --long tests/daemon/test_machine.py",
        "requests cut by a kill",
    ),
    Check(
        "c",
        "An upgrade is cut before and after each step on the disk, and each step fails once",
        "scripts/test tests/slots/test_upgrade_crash.py",
        "in the steps of an upgrade",
    ),
    Check(
        "b, d, f",
        "Origins play random sequences of acts: each ends with the right image or one clear error",
        "scripts/test --long tests/faults/test_sequences.py",
        "random sequences",
    ),
    Check(
        "f, g",
        "Bytes of images are changed: each is read or refused, within bounds of bytes and reads",
        "scripts/test --long tests/slots/test_image_fuzz.py",
        "images with changed bytes",
    ),
    Check(
        "d, f, g",
        "Replies of an origin are mutated: cut, paused, bytes changed, over plain HTTP and TLS",
        "scripts/test --long tests/transfer/http/test_reply_fuzz.py",
        "mutated replies of an origin",
    ),
    Check(
        "all",
        "Seeded defects in transition table, guarded UPDATE, recovery and resume: a test must fail",
        "scripts/mutants",
        "mutants were noticed",
    ),
    Check(
        "all",
        "Each rule is changed in one small detail at a time: a test must fail",
        "scripts/mutation",
        "mutants noticed (",
    ),
    Check(
        "f",
        "Known facts of the API are tried from outside",
        "scripts/test tests/testing/test_conformance.py",
        "known facts hold at spsd, over TLS",
    ),
    Check(
        "f",
        "Each fact is tried at a server that is correct in everything else",
        "scripts/test tests/testing/test_conformance_broken.py",
        "servers with one answer spoiled",
    ),
    Check(
        "f",
        "Correct bodies are accepted, and wrong ones refused with the name of the fault",
        "scripts/test tests/testing/test_strategies.py",
        "wrong bodies of a request",
    ),
    Check(
        "a, f",
        "Databases that are damaged, foreign, truncated or emptied are refused and not changed",
        "scripts/test tests/daemon/test_doctor.py",
        "spoilt databases",
    ),
    Check(
        "f",
        "The doctor names each fault",
        "scripts/test tests/daemon/test_doctor.py",
        "faults that the doctor names",
    ),
    Check(
        "a",
        "Backups are made of a busy daemon; each is complete",
        "scripts/test tests/daemon/test_backup.py",
        "backups of a busy daemon",
    ),
    Check(
        "bounds",
        "Small jobs through one daemon: descriptors, tasks and blocks of memory do not grow",
        "scripts/test tests/daemon/test_soak.py",
        "small jobs through one daemon",
    ),
    Check(
        "b",
        "After a rolling update all run the image, which the origin sent once (1.1 times at most)",
        "scripts/test --long tests/fleet/test_cache.py",
        "appliances of a rolling update",
    ),
    Check(
        "g",
        "Requests with random changes reach a socket: no 500, no traceback, one shape of errors",
        "scripts/test --long tests/web/test_wire_fuzz.py",
        "random requests",
    ),
    Check(
        "g",
        "Clients attack the server, and an honest client still gets its responses",
        "scripts/test --long tests/daemon/test_hostile_clients.py",
        "requests answered under attack",
    ),
    Check(
        "g",
        "How much the attacks delay the responses to an honest client",
        "scripts/hostile --requests 15",
        "attacks on the server",
    ),
)
