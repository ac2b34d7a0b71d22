"""Migrations of the database, and files that are refused without a change."""

import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from spsd.errors import StateError
from spsd.storage import migrations
from spsd.storage.layout import InUseError, Reserve, StateDirectory, reserve_path
from spsd.storage.migrations import migrate, migrate_unless_running, migrations_directory

FIRST = "CREATE TABLE a (x);\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\nDELETE FROM a;\nEND;\n"


@pytest.fixture
def scripts(tmp_path):
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_first.sql").write_text(FIRST)
    return directory


def version(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def dump(path):
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_a_new_database_is_migrated_once(tmp_path):
    path = tmp_path / "db"
    migrate(path)
    assert version(path) == len(list(migrations_directory().glob("*.sql")))
    before = dump(path)
    migrate(path)
    assert dump(path) == before


def test_a_newer_database_is_refused_and_not_changed(tmp_path):
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = path.read_bytes()
    with pytest.raises(StateError, match="version 999"):
        migrate(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_migration_leaves_the_previous_version(tmp_path, scripts):
    path = tmp_path / "db"
    migrate(path, scripts)
    before = dump(path)
    (scripts / "0002_bad.sql").write_text("CREATE TABLE b (x);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(StateError, match="nowhere"):
        migrate(path, scripts)
    assert (dump(path), version(path)) == (before, 1)
    (scripts / "0002_bad.sql").write_text("CREATE TABLE b (x);\n")
    migrate(path, scripts)
    assert version(path) == 2


def test_a_gap_in_the_numbers_is_refused(tmp_path, scripts):
    (scripts / "0003_gap.sql").write_text("CREATE TABLE c (x);")
    with pytest.raises(StateError, match="numbered"):
        migrate(tmp_path / "db", scripts)


def test_jobs_from_before_mirrors_get_an_empty_list_and_keep_the_rest(tmp_path):
    path, first = tmp_path / "db", tmp_path / "first"
    first.mkdir()
    shutil.copy(migrations_directory() / "0001_jobs_and_accounts.sql", first)
    migrate(path, first)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO job (key, url, sha256, state, cause, attempt, spent, slot, "
            "bytes_downloaded, bytes_total, error, created_at, changed_at) "
            "VALUES (?, 'http://x/y', ?, ?, 'c', 1, 1, ?, 5, 9, ?, 7, 8)",
            [
                ("waits", "a" * 64, "queued", None, None),
                ("runs", "b" * 64, "downloading", 1, None),
                ("done", "c" * 64, "finished", 2, None),
                ("failed", "d" * 64, "failed", None, "dns: no"),
            ],
        )
        before = connection.execute("SELECT * FROM job ORDER BY seq").fetchall()
        history = connection.execute("SELECT * FROM job_history").fetchall()
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        after = connection.execute("SELECT * FROM job ORDER BY seq").fetchall()
        assert after == [(*row, "[]") for row in before]
        assert connection.execute("SELECT * FROM job_history").fetchall() == history
        connection.execute("UPDATE job SET state = 'cancelled' WHERE key = 'runs'")
        assert len(connection.execute("SELECT * FROM job_history").fetchall()) == len(history) + 1
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("value", [None, "", "{}", '"http://x/"', "[", 3, b"[]"])
def test_mirrors_are_a_json_array(tmp_path, value):
    migrate(tmp_path / "db")
    insert = (
        "INSERT INTO job (key, url, sha256, state, cause, attempt, spent, bytes_downloaded, "
        f"bytes_total, created_at, changed_at, mirrors) VALUES ('k', 'u', '{'a' * 64}', 'queued', "
        "'c', 0, 0, 0, 0, 1, 1, ?)"
    )
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute(insert, ('["http://x/"]',))
        connection.rollback()
        with pytest.raises(sqlite3.Error):
            connection.execute(insert, (value,))


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match="database_corrupt: file is not a database"):
        migrate(path)
    assert path.read_bytes() == b"no database at all" * 100


def test_simultaneous_migrations_all_succeed(tmp_path):
    """For example the first start of the daemon and `spsd user add`."""
    for round_ in range(40):
        path, gate, failures = tmp_path / f"{round_}", threading.Barrier(6), []

        def migrate_and_reserve(path=path, gate=gate, failures=failures):
            gate.wait()
            try:
                migrate(path)
                Reserve(reserve_path(path)).reserve()
            except StateError as error:
                failures.append(error)

        threads = [threading.Thread(target=migrate_and_reserve) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def test_a_power_cut_during_creation_is_rolled_back(tmp_path):
    """Before the write-ahead log is in use, a reader must apply the rollback journal."""
    made, database = tmp_path / "made", tmp_path / "spsd.sqlite"
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE half (row)")
        for _ in range(100):
            connection.execute("INSERT INTO half VALUES (randomblob(4000))")
        shutil.copy(made, database)
        shutil.copy(f"{made}-journal", f"{database}-journal")
    assert database.stat().st_size > 0
    migrate(database)
    with closing(sqlite3.connect(database)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert "job" in names
    assert "half" not in names


def test_a_command_migrates_under_the_daemons_lock(tmp_path, scripts, monkeypatch):
    """No daemon can start meanwhile; afterwards one can."""
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    locked = []

    def spied(*arguments, **options):
        with pytest.raises(InUseError), state.locked():
            pass
        locked.append(True)
        migrate(*arguments, **options)

    monkeypatch.setattr(migrations, "migrate", spied)
    migrate_unless_running(state, scripts)
    assert locked == [True]
    assert version(state.database) == 1
    with state.locked():
        # A database of the right version is used beside a daemon.
        migrate_unless_running(state, scripts)
    assert locked == [True]


def test_a_command_does_not_migrate_beside_a_daemon(tmp_path, scripts):
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    migrate(state.database, scripts)
    (scripts / "0002_next.sql").write_text("CREATE TABLE b (x);\n")
    before = dump(state.database)
    with state.locked(), pytest.raises(StateError, match=r"schema version 1.*needs version 2"):
        migrate_unless_running(state, scripts, daemon_s=0.1)
    assert (dump(state.database), version(state.database)) == (before, 1)
    migrate_unless_running(state, scripts, daemon_s=0.1)
    assert version(state.database) == 2


def test_a_command_waits_for_a_daemon_that_migrates(tmp_path, scripts):
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    with state.locked():
        thread = threading.Thread(target=migrate_unless_running, args=(state, scripts))
        thread.start()
        migrate(state.database, scripts)
        thread.join()
    assert version(state.database) == 1


def test_a_lock_that_cannot_be_opened_is_named(tmp_path):
    state = StateDirectory(tmp_path)
    state.lock.mkdir()
    with pytest.raises(StateError, match=r"lock: cannot be opened: Is a directory"):
        migrate_unless_running(state)
