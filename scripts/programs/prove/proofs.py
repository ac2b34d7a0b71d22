"""What is tried of each promise: the rows of docs/verified.md, in its order."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """One row: the promises by their letters, what is done to them, and the command that does it.

    ``prints`` is a part of the line in which the command tells its count.
    """

    promise: str
    tells: str
    command: str
    prints: str


PROOFS = (
    Proof(
        "a to f",
        "Each call of a port fails, is cancelled or killed, before and after its effect",
        "scripts/test tests/faults/test_every_step.py",
        "faults at the steps",
    ),
    Proof(
        "c",
        "A call fails from then on for ever: no start and no run of the daemon ends of it",
        "scripts/test tests/faults/test_every_step.py",
        "calls that fail for ever",
    ),
    Proof(
        "a to d",
        "The power is cut after every effect on the disk, and what is not synced may be lost",
        "scripts/powercut",
        "remainders of",
    ),
    Proof(
        "a to d",
        "Each kind of sync is left out of the record: its lack must be noticed",
        "scripts/powercut --syncs --sample 150",
        "kinds of sync left out",
    ),
    Proof(
        "a to f",
        "A machine does what client, origin, clock and crash may do, in any order",
        "scripts/test --long tests/daemon/test_machine.py",
        "steps (machine)",
    ),
    Proof(
        "a to f",
        "It kills the daemon at any moment",
        "scripts/test --long tests/daemon/test_machine.py",
        "kills (machine)",
    ),
    Proof(
        "a to f",
        "It kills the daemon in the middle of a request",
        "scripts/test --long tests/daemon/test_machine.py",
        "requests cut by a kill",
    ),
    Proof(
        "c",
        "An upgrade is cut before and after each step on the disk, and each is refused once",
        "scripts/test tests/slots/test_upgrade_crash.py",
        "in the steps of an upgrade",
    ),
    Proof(
        "b, d, f",
        "Origins do one random act after the other; the right image or one clear error comes of it",
        "scripts/test --long tests/faults/test_sequences.py",
        "random sequences",
    ),
    Proof(
        "all",
        "Seeded defects in transition table, guarded UPDATE, recovery and resume: a test must fail",
        "scripts/mutants",
        "mutants were noticed",
    ),
    Proof(
        "all",
        "Each rule is changed, one small thing at a time; a test must fail",
        "scripts/mutation",
        "mutants noticed (",
    ),
    Proof(
        "f",
        "Known facts of the API are tried from outside",
        "scripts/test tests/testing/test_conformance.py",
        "known facts hold at spsd, over TLS",
    ),
    Proof(
        "f",
        "Each fact meets a server that is right in all but that",
        "scripts/test tests/testing/test_conformance_broken.py",
        "servers with one answer spoiled",
    ),
    Proof(
        "f",
        "Bodies that are right are taken, and wrong ones refused by the name of what is wrong",
        "scripts/test tests/testing/test_strategies.py",
        "wrong bodies of a request",
    ),
    Proof(
        "a, f",
        "Databases that are damaged, foreign, cut short or emptied are refused and left alone",
        "scripts/test tests/daemon/test_doctor.py",
        "spoilt databases",
    ),
    Proof(
        "f",
        "The doctor names what is wrong",
        "scripts/test tests/daemon/test_doctor.py",
        "faults that the doctor names",
    ),
    Proof(
        "a",
        "Backups are made of a busy daemon; each is whole",
        "scripts/test tests/daemon/test_backup.py",
        "backups of a busy daemon",
    ),
    Proof(
        "bounds",
        "Small jobs through one daemon: descriptors, tasks and blocks of memory are as before",
        "scripts/test tests/daemon/test_soak.py",
        "small jobs through one daemon",
    ),
    Proof(
        "b",
        "All run the image after a rolling update, and the origin sent it once (1.1 at most)",
        "scripts/test --long tests/fleet/test_cache.py",
        "appliances of a rolling update",
    ),
    Proof(
        "bounds",
        "Clients attack the server, and an honest one is answered",
        "scripts/test tests/daemon/test_hostile_clients.py",
        "requests answered under attack",
    ),
    Proof(
        "bounds",
        "How much slower that makes the honest one's answers",
        "scripts/hostile --requests 15",
        "attacks on the server",
    ),
)
