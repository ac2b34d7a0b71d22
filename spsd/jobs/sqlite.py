"""Jobs as rows. One transition is one guarded UPDATE.

The guard is in the WHERE clause of the statement: it compares the row's state and attempt with
those of the row that the caller has read. Every transition but PROGRESS changes one of the two, so
the UPDATE of a writer that has read an older row matches no row and returns none: another
transition has won. (PROGRESS is only triggered by the run of the job; a client's cancel may still
win after it.) Two unique indexes guard what one row cannot show: no two active jobs have the same
slot or the same digest.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.failures import EXPLANATIONS
from spsd.jobs.containment import Contained
from spsd.jobs.job import EVERY_JOB, Job, JobKey, Selection, Step
from spsd.jobs.lifecycle import ACTIVE, TERMINAL, JobState, Trigger
from spsd.jobs.ports import JobObserver, LoggedTransition
from spsd.storage.database import Database
from spsd.transfer.ports import Progress

_COLUMNS = (
    "key, url, sha256, state, cause, attempt, spent, slot, bytes_downloaded, bytes_total, "
    "error, evidence, created_at, started_at, changed_at, mirrors"
)
_ADD = f"INSERT INTO job ({_COLUMNS}) VALUES ({', '.join(':' + c for c in _COLUMNS.split(', '))})"
_MOVE = f"""
UPDATE job SET state = :state, cause = :cause, attempt = :attempt, spent = :spent, slot = :slot,
       bytes_downloaded = :bytes_downloaded, bytes_total = :bytes_total, error = :error,
       evidence = :evidence, started_at = :started_at, changed_at = :changed_at
 WHERE key = :key AND state = :guard_state AND attempt = :guard_attempt
RETURNING {_COLUMNS}
"""
_HISTORY = """
SELECT at, job_history.cause, job_history.state, job_history.attempt, job_history.evidence
  FROM job_history JOIN job ON job.seq = job_history.job WHERE key = ? ORDER BY id
"""
_SELECT = f"SELECT {_COLUMNS} FROM job"
_LIST = f"""
{_SELECT}
 WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
   AND (:after IS NULL OR seq > (SELECT seq FROM job WHERE key = :after))
 ORDER BY seq LIMIT :limit
"""
_CHANGED_SINCE = f"""
SELECT {_COLUMNS}, (SELECT max(id) FROM job_history WHERE job = job.seq) AS number FROM job
 WHERE seq IN (SELECT job FROM job_history WHERE id > :number)
    OR key IN (SELECT value FROM json_each(:also))
 ORDER BY number
"""
_MAX_ROWS_ON_LOOP = 100


def _quoted(names: Collection[StrEnum]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


_ACTIVE = _quoted(ACTIVE)
_NOT_OVER = _quoted(set(JobState) - TERMINAL)
_KEEPING = _quoted(
    {code for code, explanation in EXPLANATIONS.items() if explanation.keeps_partial}
)
_RESUMABLE = f"""
SELECT DISTINCT sha256 FROM job WHERE state IN ({_NOT_OVER})
    OR state = 'failed' AND substr(error, 1, instr(error, ':') - 1) IN ({_KEEPING})
"""


class SqliteJobs:
    """:class:`~spsd.jobs.ports.JobRepository` and ``TransitionLog`` over one database.

    A cancelled statement is executed nevertheless (aiosqlite runs it in its own thread), so each
    change is completed, and its observers are notified, even if the caller is cancelled. Observers
    are notified in the order of ``observers``.
    """

    def __init__(
        self,
        database: Database,
        *,
        waits_for_lock: bool = False,
        observers: Sequence[JobObserver] = (),
    ) -> None:
        """``waits_for_lock``: a transition waits longer for another program's lock on the database.

        That is for the daemon's own transitions, for which no client waits.
        """
        self._database = database
        self._waits_for_lock = waits_for_lock
        self._observers = observers

    async def add(self, job: Job) -> None:
        """Add a row; it is durable when this returns."""
        await to_completion(self._add(job))

    async def _add(self, job: Job) -> None:
        await self._database.rows(_ADD, _row(job))
        self._notify(lambda observer: observer.added(job))

    async def get(self, key: JobKey) -> Job | None:
        """The row with that key; None: there is none."""
        return _first_job(await self._database.read(f"{_SELECT} WHERE key = ?", (key,)))

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The selected rows, in order of creation."""
        states = None if selection.states is None else json.dumps(sorted(selection.states))
        limit = -1 if selection.limit is None else selection.limit  # SQLite: no upper bound
        parameters = {"states": states, "after": selection.after, "limit": limit}
        rows = await self._database.read(_LIST, parameters)
        if len(rows) <= _MAX_ROWS_ON_LOOP:
            return _jobs(rows)
        # Decoding thousands of rows would block the event loop.
        return await asyncio.to_thread(_jobs, rows)

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's transitions, oldest first; empty if there is no such job."""
        return [
            Step(row["at"], Trigger(row["cause"]), JobState(row["state"]), row["attempt"], row[4])
            for row in await self._database.read(_HISTORY, (key,))
        ]

    async def last_transition(self) -> int:
        """The number of the newest line of the history; 0: there is none."""
        [row] = await self._database.read("SELECT coalesce(max(id), 0) AS number FROM job_history")
        return int(row["number"])

    async def transitions_since(
        self, number: int, *, also: Collection[JobKey] = ()
    ) -> Sequence[LoggedTransition]:
        """The jobs with lines after ``number``, and those of ``also``, by their newest lines."""
        parameters = {"number": number, "also": json.dumps(sorted(also))}
        rows = await self._database.read(_CHANGED_SINCE, parameters)
        return [LoggedTransition(_job(row), row["number"]) for row in rows]

    async def tally(self) -> Mapping[JobState, int]:
        """The number of rows in each state; states without a row are absent."""
        rows = await self._database.read("SELECT state, count(*) FROM job GROUP BY state")
        return {JobState(row["state"]): row[1] for row in rows}

    async def active(self) -> Sequence[Job]:
        """The rows whose state is in :data:`~spsd.jobs.lifecycle.ACTIVE`, in order of creation."""
        return _jobs(
            await self._database.read(f"{_SELECT} WHERE state IN ({_ACTIVE}) ORDER BY seq")
        )

    async def next_queued(self, *, without: Collection[Sha256]) -> Job | None:
        """The oldest queued row whose digest is not in ``without``."""
        sql = (
            f"{_SELECT} WHERE state = 'queued' "
            "AND sha256 NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 1"
        )
        return _first_job(await self._database.read(sql, (json.dumps(sorted(without)),)))

    async def move(self, before: Job, after: Job) -> Job | None:
        """Change the row to ``after`` if it still has the state and attempt of ``before``.

        Returns the row as stored. None: nothing was changed and no observer was notified, because
        another transition won: the row has another state or attempt or was removed, or another
        active job has the slot or the digest.
        """
        return await to_completion(self._move(before, after))

    async def _move(self, before: Job, after: Job) -> Job | None:
        moved = await self._update(before, after)
        if moved is not None:
            self._notify(lambda observer: observer.moved(before, moved))
        return moved

    async def _update(self, before: Job, after: Job) -> Job | None:
        guard = {"guard_state": before.state, "guard_attempt": before.attempt}
        try:
            row = _row(after) | guard
            # An UPDATE whose guard matches no row returns none, and so does this.
            return _first_job(
                await self._database.rows(_MOVE, row, waits_for_lock=self._waits_for_lock)
            )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            # Another active job has the slot or the digest: its transition won.
            return None

    async def remove(self, job: Job) -> bool:
        """Delete the row with its history if it still has the state and attempt of ``job``.

        False: nothing was deleted, because the row has changed or was removed.
        """
        return await to_completion(self._remove(job))

    async def _remove(self, job: Job) -> bool:
        sql = "DELETE FROM job WHERE key = ? AND state = ? AND attempt = ? RETURNING seq"
        removed = bool(await self._database.rows(sql, (job.key, job.state, job.attempt)))
        if removed:
            self._notify(lambda observer: observer.removed(job))
        return removed

    def _notify(self, change: Callable[[JobObserver], None]) -> None:
        """Notify the observers. The change is durable: a bug in one of them does not undo it."""
        for observer in self._observers:
            with Contained(f"the observer {type(observer).__name__}"):
                change(observer)

    async def resumable_digests(self) -> Collection[Sha256]:
        """The digests whose partial files a job may still use.

        These are the digests of jobs that are not over, and of failed jobs whose failure code
        keeps the partial file for a later job.
        """
        return {Sha256(row["sha256"]) for row in await self._database.read(_RESUMABLE)}


def jobs_in(connection: sqlite3.Connection) -> Sequence[Job]:
    """Every row in order of creation, for a program that reads the database without the daemon."""
    connection.row_factory = sqlite3.Row
    return _jobs(connection.execute(f"{_SELECT} ORDER BY seq").fetchall())


def _row(job: Job) -> dict[str, object]:
    return {
        "key": job.key,
        "url": job.url,
        "sha256": job.sha256,
        "state": job.state,
        "cause": job.cause,
        "attempt": job.attempt,
        "spent": job.spent,
        "slot": job.slot,
        "bytes_downloaded": job.progress.done,
        "bytes_total": job.progress.total,
        "error": job.error,
        "evidence": job.evidence,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "changed_at": job.changed_at,
        "mirrors": json.dumps(job.mirrors),
    }


def _jobs(rows: Sequence[sqlite3.Row]) -> list[Job]:
    return [_job(row) for row in rows]


def _first_job(rows: Sequence[sqlite3.Row]) -> Job | None:
    return _job(rows[0]) if rows else None


def _job(row: sqlite3.Row) -> Job:
    return Job(
        key=JobKey(row["key"]),
        url=row["url"],
        sha256=Sha256(row["sha256"]),
        state=JobState(row["state"]),
        cause=Trigger(row["cause"]),
        attempt=row["attempt"],
        spent=row["spent"],
        slot=row["slot"],
        progress=Progress(row["bytes_downloaded"], row["bytes_total"]),
        error=row["error"],
        evidence=row["evidence"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        changed_at=row["changed_at"],
        mirrors=tuple(json.loads(mirrors)) if (mirrors := row["mirrors"]) != "[]" else (),
    )
