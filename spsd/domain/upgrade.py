"""May the appliance boot this slot? The checks of a test, judged and written down.

Every check is a value with its verdict; what fails says why, and what to do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from spsd.domain.errors import FirmwareTestFailedError
from spsd.domain.failure import JobError
from spsd.domain.image import ImageInfo
from spsd.domain.slot import BrokenSlot, InstalledImage

_FETCH_AGAIN = "delete the image from the slot and fetch it again"


@dataclass(frozen=True, slots=True)
class HookEnded:
    """A hook that ran: its exit status (negative: the signal that ended it) and its output.

    ``timed_out``: it was killed at the time limit. ``left_out``: bytes of output not kept.
    """

    status: int
    output: str
    timed_out: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class HookNotStarted:
    """A hook that could not be run at all."""

    reason: str


HookOutcome = HookEnded | HookNotStarted


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: ``name`` is stable, for programs; ``told`` is the reason or the evidence."""

    name: str
    title: str
    verdict: Verdict
    told: str = ""
    advice: str = ""
    output: Sequence[str] = ()

    def lines(self) -> Sequence[str]:
        """The check's part of the summary."""
        told = f" ({self.told})" if self.told else ""
        return [f"{self.title}: {self.verdict}{told}", *(f"  {line}" for line in self.output)]


@dataclass(frozen=True, slots=True)
class Tested:
    """A slot that passed; ``summary`` has a line for each check, joined by line feeds."""

    slot: int
    summary: str


def image_check(content: InstalledImage | BrokenSlot, *, intact: bool | JobError) -> Check:
    """Are the slot's bytes the ones that were proven when it was filled?"""
    name, title = "image", "Image check"
    match content, intact:
        case BrokenSlot(reason=reason), _:
            return Check(name, title, Verdict.FAILED, _inline(reason), _FETCH_AGAIN)
        case InstalledImage(), JobError():
            advice = "check the file system and the kernel's log"
            return Check(name, title, Verdict.FAILED, _inline(intact.what), advice)
        case InstalledImage(sha256=sha256, size=size), True:
            return Check(name, title, Verdict.OK, f"{size} bytes, SHA-256 {sha256}")
        case InstalledImage(sha256=sha256), _:
            told = f"its bytes do not have the SHA-256 {sha256} any more"
            return Check(name, title, Verdict.FAILED, told, _FETCH_AGAIN)
        case _:
            assert_never(content)


def volume_check(content: InstalledImage | BrokenSlot, seen: ImageInfo | JobError) -> Check:
    """Does the volume still say what the manifest says?"""
    name, title = "volume", "Volume check"
    match content, seen:
        case BrokenSlot(), _:
            told = "there is no manifest to compare with"
            return Check(name, title, Verdict.SKIPPED, told)
        case InstalledImage(), JobError():
            return Check(name, title, Verdict.FAILED, _inline(seen.what), _FETCH_AGAIN)
        case InstalledImage(info=info), ImageInfo(version=version) if version == info.version:
            return Check(name, title, Verdict.OK, f"version {_inline(version)}")
        case InstalledImage(info=info), ImageInfo(version=version):
            told = f"it is version {_inline(version)}, the manifest says {_inline(info.version)}"
            return Check(name, title, Verdict.FAILED, told, _FETCH_AGAIN)
        case _:
            assert_never(seen)


def space_check(free: int | JobError, *, needed: int) -> Check:
    """Is there room for what the daemon and the new firmware write?"""
    name, title = "space", "Space check"
    match free:
        case JobError():
            advice = "check the file system and the kernel's log"
            return Check(name, title, Verdict.FAILED, _inline(free.what), advice)
        case int() if free >= needed:
            return Check(name, title, Verdict.OK, f"{free} bytes free")
        case int():
            told = f"{free} bytes free, {needed} needed"
            return Check(name, title, Verdict.FAILED, told, "free space, or empty a slot")
        case _:
            assert_never(free)


def hook_check(hook: str, outcome: HookOutcome) -> Check:
    """A test hook's verdict: exit status 0 is a pass."""
    return _hook_check(_hook_name(hook), _hook_title(hook), hook, outcome)


def activation_check(hook: str, outcome: HookOutcome) -> Check:
    """The activation hook's verdict."""
    return _hook_check("activation", f"Activation hook {_file_name(hook)}", hook, outcome)


def choice_check(error: JobError) -> Check:
    """The choice itself could not be written down."""
    advice = "check the file system and the kernel's log"
    return Check("choice", "Choice for the next boot", Verdict.FAILED, _inline(error.what), advice)


def skipped(hooks: Sequence[str]) -> Sequence[Check]:
    """Hooks that are not run, since something before them failed."""
    return [Check(_hook_name(hook), _hook_title(hook), Verdict.SKIPPED) for hook in hooks]


def passed(checks: Sequence[Check]) -> bool:
    """Has nothing failed?"""
    return all(check.verdict is not Verdict.FAILED for check in checks)


def judged(slot: int, checks: Sequence[Check]) -> Tested:
    """The slot passes.

    Raises:
        FirmwareTestFailedError: a check failed; it tells of the first that did.
    """
    summary = "\n".join(line for check in checks for line in check.lines())
    for check in checks:
        if check.verdict is Verdict.FAILED:
            title = check.title[0].lower() + check.title[1:]
            raise FirmwareTestFailedError(
                f"Slot {slot}: {title} failed: {check.told}; {check.advice}.",
                check=check.name,
                test_summary=summary,
            )
    return Tested(slot, summary)


def _hook_check(name: str, title: str, hook: str, outcome: HookOutcome) -> Check:
    match outcome:
        case HookNotStarted(reason=reason):
            told, advice = f"cannot be run: {reason}", f"check {hook} and [upgrade] in spsd.toml"
            return Check(name, title, Verdict.FAILED, told, advice)
        case HookEnded(status=0, timed_out=False):
            return Check(name, title, Verdict.OK, output=_output(outcome))
        case HookEnded(status=status, timed_out=timed_out):
            told = _ending(status, timed_out=timed_out)
            advice = f"see its output in test_summary, and {hook}"
            return Check(name, title, Verdict.FAILED, told, advice, _output(outcome))
        case _:
            assert_never(outcome)


def _ending(status: int, *, timed_out: bool) -> str:
    if timed_out:
        return "it was killed at its time limit, [upgrade] hook_timeout_s"
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"


def _output(ended: HookEnded) -> Sequence[str]:
    cut = [f"({ended.left_out} more bytes left out)"] if ended.left_out else []
    return [*ended.output.rstrip().splitlines(), *cut]


def _file_name(hook: str) -> str:
    return hook.rpartition("/")[2]


def _hook_name(hook: str) -> str:
    return f"hook {_file_name(hook)}"


def _hook_title(hook: str) -> str:
    return f"Hook {_file_name(hook)}"


def _inline(text: str) -> str:
    """On one line: a version or a reason may come from the image itself."""
    return " ".join(text.split())
