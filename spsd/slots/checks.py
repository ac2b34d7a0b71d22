"""The checks that decide whether a slot may be booted.

Each function judges facts that its caller has read and returns a :class:`Check`. A failed check has
the reason and an advice. The texts are parts of the response of the API.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from spsd.errors import FirmwareTestFailedError
from spsd.failures import JobError
from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage
from spsd.system.program_outcome import ProgramEnded, ProgramNotStarted, ProgramOutcome

_IMAGE, _VOLUME = "Image check", "Volume check"
_FETCH_AGAIN = "delete the image from the slot and fetch it again"
_LOOK_AT_THE_DISK = "check the file system and the kernel's log"


class CheckResult(StrEnum):
    """The result of a check; the values are part of the summary."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result.

    ``name`` is stable, for programs; ``title`` is for people. ``detail`` is the evidence or the
    reason of a failure, ``output`` the lines that a hook has written.
    """

    name: str
    title: str
    result: CheckResult
    detail: str = ""
    advice: str = ""
    output: Sequence[str] = ()

    def lines(self) -> Sequence[str]:
        """The check's part of the summary."""
        detail = f" ({self.detail})" if self.detail else ""
        return [f"{self.title}: {self.result}{detail}", *(f"  {line}" for line in self.output)]


@dataclass(frozen=True, slots=True)
class PassedTest:
    """A slot that passed. ``summary`` has a line for each check and each line of hook output."""

    slot: int
    summary: str


def broken_checks(broken: BrokenSlot) -> Sequence[Check]:
    """The checks of a slot without a readable manifest: the image check fails."""
    detail = "there is no manifest to compare with"
    return [
        Check("image", _IMAGE, CheckResult.FAILED, _inline(broken.reason), _FETCH_AGAIN),
        Check("volume", _VOLUME, CheckResult.SKIPPED, detail),
    ]


def image_check(image: InstalledImage, *, intact: bool | JobError) -> Check:
    """The image has the digest that was verified at its installation, or cannot be read."""
    match intact:
        case JobError(what=what):
            return Check("image", _IMAGE, CheckResult.FAILED, what, _LOOK_AT_THE_DISK)
        case True:
            detail = f"{image.size} bytes, SHA-256 {image.sha256}"
            return Check("image", _IMAGE, CheckResult.OK, detail)
        case False:
            detail = f"its bytes do not have the SHA-256 {image.sha256} any more"
            return Check("image", _IMAGE, CheckResult.FAILED, detail, _FETCH_AGAIN)
        case _:
            assert_never(intact)


def volume_check(image: InstalledImage, volume: ImageInfo | JobError) -> Check:
    """The volume has the version of the manifest, or cannot be read."""
    match volume:
        case JobError(what=what):
            return Check("volume", _VOLUME, CheckResult.FAILED, what, _FETCH_AGAIN)
        case ImageInfo(version=version) if version == image.info.version:
            return Check("volume", _VOLUME, CheckResult.OK, f"version {_inline(version)}")
        case ImageInfo(version=version):
            expected = _inline(image.info.version)
            detail = f"it is version {_inline(version)}, the manifest says {expected}"
            return Check("volume", _VOLUME, CheckResult.FAILED, detail, _FETCH_AGAIN)
        case _:
            assert_never(volume)


def space_check(free: int | JobError, *, needed: int) -> Check:
    """The file system has ``needed`` free bytes, for what the daemon and the new firmware write."""
    name, title = "space", "Space check"
    match free:
        case JobError(what=what):
            return Check(name, title, CheckResult.FAILED, what, _LOOK_AT_THE_DISK)
        case int() if free >= needed:
            return Check(name, title, CheckResult.OK, f"{free} bytes free")
        case int():
            detail = f"{free} bytes free, {needed} needed"
            return Check(name, title, CheckResult.FAILED, detail, "free space, or empty a slot")
        case _:
            assert_never(free)


def hook_check(hook: str, outcome: ProgramOutcome) -> Check:
    """The check of a test hook: it passes with exit status 0 within its time limit."""
    return _hook_check(_hook_name(hook), _hook_title(hook), hook, outcome)


def activation_check(hook: str, outcome: ProgramOutcome) -> Check:
    """The check of the activation hook: it passes with exit status 0 within its time limit."""
    return _hook_check("activation", f"Activation hook {_file_name(hook)}", hook, outcome)


def choice_check(error: JobError) -> Check:
    """The failed check of a choice that could not be stored."""
    title = "Choice for the next boot"
    return Check("choice", title, CheckResult.FAILED, _inline(error.what), _LOOK_AT_THE_DISK)


def skipped(hooks: Sequence[str]) -> Sequence[Check]:
    """The checks of hooks that were not run, because an earlier check failed."""
    return [Check(_hook_name(hook), _hook_title(hook), CheckResult.SKIPPED) for hook in hooks]


def passed(checks: Sequence[Check]) -> bool:
    """Whether no check failed."""
    return all(check.result is not CheckResult.FAILED for check in checks)


def require_passed(slot: int, checks: Sequence[Check]) -> PassedTest:
    """The passed test.

    Raises:
        FirmwareTestFailedError: a check failed; the error is that of :func:`refusal`.
    """
    if not passed(checks):
        raise refusal(slot, checks)
    return PassedTest(slot, _summary(checks))


def refusal(slot: int, checks: Sequence[Check]) -> FirmwareTestFailedError:
    """The error for checks with a failure: it has the first failure and the whole summary."""
    failed = next(check for check in checks if check.result is CheckResult.FAILED)
    title = failed.title[0].lower() + failed.title[1:]
    return FirmwareTestFailedError(
        f"The {title} of slot {slot} failed: {failed.detail}; {failed.advice}.",
        check=failed.name,
        test_summary=_summary(checks),
    )


def _summary(checks: Sequence[Check]) -> str:
    return "\n".join(line for check in checks for line in check.lines())


def _hook_check(name: str, title: str, hook: str, outcome: ProgramOutcome) -> Check:
    match outcome:
        case ProgramNotStarted(reason=reason):
            detail, advice = f"cannot be run: {reason}", f"check {hook} and [upgrade] in spsd.toml"
            return Check(name, title, CheckResult.FAILED, detail, advice)
        case ProgramEnded(status=0, timed_out=False):
            return Check(name, title, CheckResult.OK, output=_output(outcome))
        case ProgramEnded(status=status, timed_out=timed_out):
            detail = _ending(status, timed_out=timed_out)
            advice = f"see its output in test_summary, and {hook}"
            return Check(name, title, CheckResult.FAILED, detail, advice, _output(outcome))
        case _:
            assert_never(outcome)


def _ending(status: int, *, timed_out: bool) -> str:
    if timed_out:
        return "it was killed at its time limit, [upgrade] hook_timeout_s"
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"


def _output(ended: ProgramEnded) -> Sequence[str]:
    omitted = [f"({ended.left_out} more bytes left out)"] if ended.left_out else []
    return [*ended.output.rstrip().splitlines(), *omitted]


def _file_name(hook: str) -> str:
    return hook.rpartition("/")[2]


def _hook_name(hook: str) -> str:
    return f"hook {_file_name(hook)}"


def _hook_title(hook: str) -> str:
    return f"Hook {_file_name(hook)}"


def _inline(text: str) -> str:
    """The text on one line: a version or a reason may come from the image itself."""
    return " ".join(text.split())
