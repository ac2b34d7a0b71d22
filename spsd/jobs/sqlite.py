"""Jobs as rows. One transition is one guarded statement."""

import asyncio
import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from spsd.cancellation import to_completion
from spsd.digest import Sha256
from spsd.failures import EXPLANATIONS
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
 WHERE key = :key AND state = :seen_state AND attempt = :seen_attempt
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
_MOVED_SINCE = f"""
SELECT {_COLUMNS}, (SELECT max(id) FROM job_history WHERE job = job.seq) AS move FROM job
 WHERE seq IN (SELECT job FROM job_history WHERE id > :move)
    OR key IN (SELECT value FROM json_each(:also))
 ORDER BY move
"""
_FEW = 100


def _quoted(names: Collection[StrEnum]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


_ACTIVE = _quoted(ACTIVE)
_NOT_OVER = _quoted(set(JobState) - TERMINAL)
_KEEPING = _quoted({code for code, why in EXPLANATIONS.items() if why.keeps_partial})
_WANTED = f"""
SELECT DISTINCT sha256 FROM job WHERE state IN ({_NOT_OVER})
    OR state = 'failed' AND substr(error, 1, instr(error, ':') - 1) IN ({_KEEPING})
"""


class SqliteJobs:
    """The job repository over one database.

    A statement that was cancelled is executed all the same (aiosqlite runs it in its thread), so
    its observers are notified all the same, too, in the order in which they are named.
    """

    def __init__(
        self,
        database: Database,
        *,
        waits_for_lock: bool = False,
        observers: Sequence[JobObserver] = (),
    ) -> None:
        """``patient``: a move waits longer for another program, since no client waits for it."""
        self._database = database
        self._waits_for_lock = waits_for_lock
        self._observers = observers

    async def add(self, job: Job) -> None:
        """Durable when it returns."""
        await to_completion(self._add(job))

    async def _add(self, job: Job) -> None:
        await self._database.rows(_ADD, _row(job))
        for observer in self._observers:
            observer.added(job)

    async def get(self, key: JobKey) -> Job | None:
        """The row as it is now."""
        return _one(await self._database.read(f"{_SELECT} WHERE key = ?", (key,)))

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The rows that are asked for, in order of creation."""
        states = None if selection.states is None else json.dumps(sorted(selection.states))
        limit = -1 if selection.limit is None else selection.limit  # SQLite: no upper bound
        asked = {"states": states, "after": selection.after, "limit": limit}
        rows = await self._database.read(_LIST, asked)
        if len(rows) <= _FEW:
            return _jobs(rows)
        # Thousands would keep everybody else on the loop waiting.
        return await asyncio.to_thread(_jobs, rows)

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's moves, oldest first; none if there is no such job."""
        return [
            Step(row["at"], Trigger(row["cause"]), JobState(row["state"]), row["attempt"], row[4])
            for row in await self._database.read(_HISTORY, (key,))
        ]

    async def last_transition(self) -> int:
        """The newest line's number in the history; 0: there is none."""
        [row] = await self._database.read("SELECT coalesce(max(id), 0) AS move FROM job_history")
        return int(row["move"])

    async def transitions_since(
        self, move: int, *, also: Collection[JobKey] = ()
    ) -> Sequence[LoggedTransition]:
        """The jobs with lines after that one, and those of ``also``, the last to move last."""
        asked = {"move": move, "also": json.dumps(sorted(also))}
        rows = await self._database.read(_MOVED_SINCE, asked)
        return [LoggedTransition(_job(row), row["move"]) for row in rows]

    async def tally(self) -> Mapping[JobState, int]:
        """How many rows there are of each state that has any."""
        rows = await self._database.read("SELECT state, count(*) FROM job GROUP BY state")
        return {JobState(row["state"]): row[1] for row in rows}

    async def active(self) -> Sequence[Job]:
        """The rows that a daemon works on."""
        return _jobs(
            await self._database.read(f"{_SELECT} WHERE state IN ({_ACTIVE}) ORDER BY seq")
        )

    async def next_queued(self, *, without: Collection[Sha256]) -> Job | None:
        """The oldest queued row whose digest is not in ``without``."""
        sql = (
            f"{_SELECT} WHERE state = 'queued' "
            "AND sha256 NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 1"
        )
        return _one(await self._database.read(sql, (json.dumps(sorted(without)),)))

    async def move(self, seen: Job, to: Job) -> Job | None:
        """Make the row ``to`` if it still is what ``seen`` says; None: another transition won."""
        return await to_completion(self._move(seen, to))

    async def _move(self, seen: Job, to: Job) -> Job | None:
        moved = await self._update(seen, to)
        if moved is not None:
            for observer in self._observers:
                observer.moved(seen, moved)
        return moved

    async def _update(self, seen: Job, to: Job) -> Job | None:
        guard = {"seen_state": seen.state, "seen_attempt": seen.attempt}
        try:
            row = _row(to) | guard
            return _one(await self._database.rows(_MOVE, row, waits_for_lock=self._waits_for_lock))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            # The slot or the digest is another active job's: its transition won.
            return None

    async def remove(self, job: Job) -> bool:
        """Delete the row if it still is what ``job`` says, with its history."""
        return await to_completion(self._remove(job))

    async def _remove(self, job: Job) -> bool:
        sql = "DELETE FROM job WHERE key = ? AND state = ? AND attempt = ? RETURNING seq"
        removed = bool(await self._database.rows(sql, (job.key, job.state, job.attempt)))
        if removed:
            for observer in self._observers:
                observer.removed(job)
        return removed

    async def wanted(self) -> Collection[Sha256]:
        """The digests whose partial files some row may still go on with."""
        return {Sha256(row["sha256"]) for row in await self._database.read(_WANTED)}


def jobs_in(connection: sqlite3.Connection) -> Sequence[Job]:
    """Every row, for who looks from outside."""
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


def _one(rows: Sequence[sqlite3.Row]) -> Job | None:
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
