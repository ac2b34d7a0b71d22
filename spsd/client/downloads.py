"""Downloads as the API shows them: found by a prefix of their key, and how fast they come."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spsd.client.connection import FETCH, Api, Document
from spsd.client.exits import Exit
from spsd.client.failures import CommandError

OVER: Mapping[str, Exit] = {
    "finished": Exit.DONE,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
}
"""The statuses from which nothing follows, and how a command ends that waited for one."""

WINDOW_S = 10.0
"""Over so long a rate is taken."""


async def found(api: Api, prefix: str) -> str:
    """The key that begins so.

    Raises:
        CommandError: none does, or several.
    """
    items = (await api.get(FETCH))["items"]
    return chosen((str(item["key"]) for item in items), prefix)


def chosen(keys: Iterable[str], prefix: str) -> str:
    """The one key that begins so, or is it; errors as in :func:`found`."""
    fitting = [key for key in keys if key.startswith(prefix.lower())]
    if prefix in fitting:
        return prefix
    match fitting:
        case [key] if prefix:
            return key
        case []:
            raise CommandError(
                f"no download's key begins with {prefix!r}; `spsctl downloads` shows all",
                Exit.NOT_FOUND,
            )
        case _:
            told = ", ".join(fitting[:5]) + (", …" if len(fitting) > 5 else "")
            raise CommandError(
                f"{len(fitting)} keys begin with {prefix!r}: {told}. Give more of it.",
                Exit.NOT_FOUND,
            )


@dataclass
class Pace:
    """The rate of one download, of what was seen in the last seconds."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def saw(self, done: int, now: float) -> None:
        """So many bytes are here at that time (any monotonic seconds).

        Also when they are no more than before: that is what makes it slow.
        """
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # started over
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Bytes a second; None: not known yet."""
        if len(self._seen) < 2:
            return None
        (then, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now - then) if now > then else None

    def left_s(self, total: int) -> float | None:
        """Seconds until ``total`` bytes are here, if it goes on like this."""
        if not self.rate or not total:
            return None
        return (total - self._seen[-1][1]) / self.rate


def is_over(item: Document) -> bool:
    """Whether nothing follows."""
    return item["body"]["status"] in OVER


def exit_for(item: Document) -> Exit:
    """How a command ends that waited for it."""
    return OVER.get(item["body"]["status"], Exit.DONE)
