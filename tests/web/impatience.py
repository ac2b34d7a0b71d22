"""An API that waits for less long, and lets fewer wait: for tests of what happens then."""

from aiohttp.test_utils import TestClient
from aiohttp.web import Application

from spsd.adapters.job_repository import SqliteJobs
from spsd.services.feed import Feed
from spsd.services.watched_jobs import WatchedJobs
from spsd.web.limits import LIMITS, WebLimits
from tests.web.conftest import Api


def waits_for(api: Api, **limits: float) -> None:
    """The apps that are built from now on have these limits."""
    connect = api.connect

    async def with_limits(app: Application) -> TestClient:
        app[LIMITS] = WebLimits(**limits)
        return await connect(app)

    api.connect = with_limits


def lets_wait(api: Api, most: int) -> None:
    """At most so many may wait for changes, or read along."""
    jobs = SqliteJobs(api.database)
    api.feed = Feed(jobs, api.board, most_waiting=most)
    api.board.watched_by(api.feed)
    api.jobs = WatchedJobs(jobs, api.feed)
