-- One row a job. The row is the truth about intent; bytes on disk are counted by the partial file,
-- installed images by the slot store.
CREATE TABLE job (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,   -- the order of the queue and of lists
    key              TEXT    NOT NULL UNIQUE,
    url              TEXT    NOT NULL,
    sha256           TEXT    NOT NULL CHECK (length(sha256) = 64),
    state            TEXT    NOT NULL CHECK (state IN
                     ('queued', 'downloading', 'installing', 'finished', 'failed', 'cancelled')),
    cause            TEXT    NOT NULL,
    attempt          INTEGER NOT NULL CHECK (attempt >= 0),
    spent            INTEGER NOT NULL CHECK (spent >= 0),
    slot             INTEGER CHECK (slot >= 1),
    bytes_downloaded INTEGER NOT NULL,
    bytes_total      INTEGER NOT NULL,
    error            TEXT,
    evidence         TEXT,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    changed_at       INTEGER NOT NULL,
    CHECK ((error IS NOT NULL) = (state = 'failed')),
    CHECK (state != 'finished' OR slot IS NOT NULL)
) STRICT;

-- A slot is reserved for at most one active job, and a digest is fetched by at most one: two
-- writers would share its partial file.
CREATE UNIQUE INDEX job_reserves_slot ON job (slot) WHERE state IN ('downloading', 'installing');
CREATE UNIQUE INDEX job_fetches_digest ON job (sha256) WHERE state IN ('downloading', 'installing');
CREATE INDEX job_queue ON job (seq) WHERE state = 'queued';

CREATE TABLE job_history (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    job      INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    cause    TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    attempt  INTEGER NOT NULL,
    evidence TEXT
) STRICT;
CREATE INDEX job_history_of_job ON job_history (job);

CREATE TRIGGER job_is_born AFTER INSERT ON job BEGIN
    INSERT INTO job_history (job, at, cause, state, attempt, evidence)
    VALUES (NEW.seq, NEW.changed_at, NEW.cause, NEW.state, NEW.attempt, NEW.evidence);
END;

CREATE TRIGGER job_moves AFTER UPDATE ON job BEGIN
    INSERT INTO job_history (job, at, cause, state, attempt, evidence)
    VALUES (NEW.seq, NEW.changed_at, NEW.cause, NEW.state, NEW.attempt, NEW.evidence);
END;

CREATE TABLE account (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL CHECK (role IN ('admin', 'viewer')),
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

-- Only the hash of a session's token is stored: who reads the database cannot log in with it.
CREATE TABLE session (
    token_hash TEXT    PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_account ON session (account);

-- Whoever changes a password wants everybody out who knows the old one.
CREATE TRIGGER account_password_changes AFTER UPDATE OF password_hash ON account BEGIN
    DELETE FROM session WHERE account = NEW.id;
END;
