//! The statements. Each is a transaction of its own, so a process that is stopped holds no lock, and
//! has no name on the server, so a pooler may run each one on another connection.
//!
//! `$1` is always the store. Times are those of the database, and of nobody else.

/// The format of the tables.
pub(super) const FORMAT: i32 = 1;

/// Creates what is not there. Two at once would fail on each other's new tables, whatever
/// `IF NOT EXISTS` promises, so they take turns by an advisory lock.
pub(super) const INIT: &str = "
BEGIN;
SELECT pg_advisory_xact_lock(7163867203118985321);
CREATE SCHEMA IF NOT EXISTS cxone;
CREATE TABLE IF NOT EXISTS cxone.lease (
    store text PRIMARY KEY,
    format int NOT NULL,
    token bigint NOT NULL,
    holder uuid NOT NULL,
    holder_name text NOT NULL,
    expires_at timestamptz NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    floor bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS cxone.terms (
    store text NOT NULL,
    token bigint NOT NULL,
    holder uuid NOT NULL,
    holder_name text NOT NULL,
    revision bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (store, token)
);
CREATE TABLE IF NOT EXISTS cxone.records (
    store text NOT NULL,
    key bytea NOT NULL,
    value bytea,
    revision bigint NOT NULL,
    PRIMARY KEY (store, key)
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS records_by_revision ON cxone.records (store, revision);
CREATE TABLE IF NOT EXISTS cxone.submits (
    store text NOT NULL,
    at timestamptz NOT NULL,
    token bigint NOT NULL,
    target text NOT NULL,
    PRIMARY KEY (store, at)
);
CREATE TABLE IF NOT EXISTS cxone.replicas (
    store text NOT NULL,
    holder uuid NOT NULL,
    name text NOT NULL,
    revision bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (store, holder)
) WITH (fillfactor = 50);
COMMIT;
";

/// Whether the tables are there. Asked first: a user who may not create a schema may use one.
pub(super) const IS_INITIALISED: &str = "
SELECT to_regclass('cxone.lease') IS NOT NULL AND to_regclass('cxone.terms') IS NOT NULL
   AND to_regclass('cxone.records_by_revision') IS NOT NULL
   AND to_regclass('cxone.submits') IS NOT NULL AND to_regclass('cxone.replicas') IS NOT NULL";

/// `$2` format, `$3` holder, `$4` its name, `$5` seconds. No row: somebody else has the lease.
///
/// The row is locked before its expiry is compared, so of two at once the later one sees what the
/// earlier one wrote.
pub(super) const TAKE: &str = "
WITH taken AS (
    INSERT INTO cxone.lease AS l (store, format, token, holder, holder_name, expires_at)
    VALUES ($1, $2, 1, $3::uuid, $4, clock_timestamp() + make_interval(secs => $5))
    ON CONFLICT (store) DO UPDATE
       SET token = l.token + 1, holder = excluded.holder, holder_name = excluded.holder_name,
           expires_at = clock_timestamp() + make_interval(secs => $5)
     WHERE l.format = excluded.format
       AND (l.expires_at < clock_timestamp() OR l.holder = excluded.holder)
    RETURNING l.token, l.holder, l.holder_name, l.revision
), term AS (
    INSERT INTO cxone.terms (store, token, holder, holder_name, revision, taken_at)
    SELECT $1, token, holder, holder_name, revision, clock_timestamp() FROM taken
), old AS (
    DELETE FROM cxone.terms t USING taken WHERE t.store = $1 AND t.token <= taken.token - 10000
)
SELECT token, revision FROM taken";

/// `$2` holder, `$3` seconds. Gives the same holder a new token. It waits for what the holder may
/// still have under way, and what comes later is fenced by the old token: what it returns is the
/// outcome.
pub(super) const RETAKE: &str = "
WITH taken AS (
    UPDATE cxone.lease
       SET token = token + 1, expires_at = clock_timestamp() + make_interval(secs => $3)
     WHERE store = $1 AND holder = $2::uuid
    RETURNING token, holder, holder_name, revision
), term AS (
    INSERT INTO cxone.terms (store, token, holder, holder_name, revision, taken_at)
    SELECT $1, token, holder, holder_name, revision, clock_timestamp() FROM taken
)
SELECT token, revision FROM taken";

/// `$2` token, `$3` holder, `$4` seconds. No row: fenced.
pub(super) const RENEW: &str = "
UPDATE cxone.lease SET expires_at = clock_timestamp() + make_interval(secs => $4)
 WHERE store = $1 AND token = $2 AND holder = $3::uuid
RETURNING revision";

/// `$2` token, `$3` holder.
pub(super) const HAND_OVER: &str = "
UPDATE cxone.lease SET expires_at = '-infinity'
 WHERE store = $1 AND token = $2 AND holder = $3::uuid
RETURNING revision";

/// Who has the lease, and for how many seconds more.
pub(super) const READ_LEASE: &str = "
SELECT token, holder::text, holder_name, revision, format,
       CASE WHEN expires_at > clock_timestamp()
            THEN extract(epoch FROM expires_at - clock_timestamp())::float8 END
  FROM cxone.lease WHERE store = $1";

/// `$2` token, `$3` holder, `$4` revision, `$5` seconds, `$6` keys, `$7` values. No row: fenced, and
/// nothing was written.
pub(super) const COMMIT: &str = "
WITH fence AS (
    UPDATE cxone.lease
       SET revision = revision + 1, expires_at = clock_timestamp() + make_interval(secs => $5)
     WHERE store = $1 AND token = $2 AND holder = $3::uuid AND revision = $4
    RETURNING revision
), put AS (
    INSERT INTO cxone.records (store, key, value, revision)
    SELECT $1, r.key, r.value, fence.revision
      FROM fence, unnest($6::bytea[], $7::bytea[]) AS r (key, value)
    ON CONFLICT (store, key) DO UPDATE SET value = excluded.value, revision = excluded.revision
)
SELECT revision, pg_total_relation_size('cxone.records') FROM fence";

/// `$2` token, `$3` holder, `$4` revision, `$5` seconds, `$6` target, `$7` quota. Rows: when it was
/// written, if it was; how many there were; the token, unless it was fenced.
///
/// A second more than a minute is counted, for CXone's own minute need not be the database's.
pub(super) const SUBMIT: &str = "
WITH fence AS (
    UPDATE cxone.lease
       SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => $5))
     WHERE store = $1 AND token = $2 AND holder = $3::uuid AND revision = $4
    RETURNING token
), used AS (
    SELECT count(*) AS submits FROM cxone.submits
     WHERE store = $1 AND at > clock_timestamp() - interval '61 s'
), kept AS (
    INSERT INTO cxone.submits (store, at, token, target)
    SELECT $1, clock_timestamp(), fence.token, $6 FROM fence, used WHERE used.submits < $7
    RETURNING at
), old AS (
    DELETE FROM cxone.submits USING fence
     WHERE store = $1 AND at < clock_timestamp() - interval '10 min'
)
SELECT (SELECT (extract(epoch FROM at) * 1000)::bigint FROM kept),
       (SELECT submits FROM used),
       (SELECT token FROM fence)";

/// The submits that may still count, in milliseconds since 1970.
pub(super) const RECENT_SUBMITS: &str = "
SELECT (extract(epoch FROM at) * 1000)::bigint FROM cxone.submits
 WHERE store = $1 AND at > clock_timestamp() - interval '2 min' ORDER BY at";

/// `$2` token, `$3` holder, `$4` revision, `$5` submits in milliseconds since 1970. Those that no
/// longer count are left out. No row: fenced.
pub(super) const RESTORE_SUBMITS: &str = "
WITH fence AS (
    UPDATE cxone.lease SET revision = revision
     WHERE store = $1 AND token = $2 AND holder = $3::uuid AND revision = $4
    RETURNING token
), kept AS (
    INSERT INTO cxone.submits (store, at, token, target)
    SELECT $1, to_timestamp(s.ms / 1000.0), fence.token, ''
      FROM fence, unnest($5::bigint[]) AS s (ms)
     WHERE to_timestamp(s.ms / 1000.0) > clock_timestamp() - interval '2 min'
    ON CONFLICT DO NOTHING
)
SELECT token FROM fence";

/// `$2` revision, `$3` token and `$4` holder of where the reader is. One statement, so one snapshot:
/// the lease, whether the reader's past is the store's, and every record that is newer.
///
/// The reader's past is the store's if the holding in which it read is on record and no later one
/// began before the revision that it has.
pub(super) const READ_SINCE: &str = "
SELECT l.token, l.holder::text, l.revision, l.format, l.floor,
       l.revision >= $2
       AND EXISTS (SELECT FROM cxone.terms WHERE store = $1 AND token = $3 AND holder = $4::uuid)
       AND NOT EXISTS (SELECT FROM cxone.terms WHERE store = $1 AND token > $3 AND revision < $2),
       r.key, r.value
  FROM cxone.lease l LEFT JOIN cxone.records r ON r.store = $1 AND r.revision > $2
 WHERE l.store = $1
 ORDER BY r.key";

/// Every record that is not deleted, with the lease in the same snapshot.
pub(super) const LOAD: &str = "
SELECT l.token, l.holder::text, l.revision, l.format, r.key, r.value
  FROM cxone.lease l LEFT JOIN cxone.records r ON r.store = $1 AND r.value IS NOT NULL
 WHERE l.store = $1
 ORDER BY r.key";

/// `$2` token, `$3` holder, `$4` the revision up to which deletions are forgotten. No row: fenced.
pub(super) const PURGE: &str = "
WITH fence AS (
    UPDATE cxone.lease SET floor = greatest(floor, $4)
     WHERE store = $1 AND token = $2 AND holder = $3::uuid AND revision >= $4
    RETURNING floor
), gone AS (
    DELETE FROM cxone.records USING fence
     WHERE store = $1 AND value IS NULL AND records.revision <= fence.floor
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM fence";

/// `$2` holder, `$3` its name, `$4` the revision that it shows.
pub(super) const ANNOUNCE: &str = "
WITH old AS (
    DELETE FROM cxone.replicas WHERE store = $1 AND seen_at < clock_timestamp() - interval '1 day'
)
INSERT INTO cxone.replicas (store, holder, name, revision, seen_at)
VALUES ($1, $2::uuid, $3, $4, clock_timestamp())
ON CONFLICT (store, holder) DO UPDATE
   SET name = excluded.name, revision = excluded.revision, seen_at = excluded.seen_at";

/// `$2` holder.
pub(super) const LEAVE: &str = "DELETE FROM cxone.replicas WHERE store = $1 AND holder = $2::uuid";

/// What the server says of itself.
pub(super) const SERVER: &str = "
SELECT current_setting('server_version'), current_setting('synchronous_standby_names') <> '',
       current_setting('synchronous_commit'), pg_total_relation_size('cxone.records')";

/// `$1` a store, or null for all.
pub(super) const STORES: &str = "
SELECT l.store, l.format, l.token, l.revision, l.holder_name,
       CASE WHEN l.expires_at > clock_timestamp()
            THEN extract(epoch FROM l.expires_at - clock_timestamp())::float8 END,
       count(r.value), coalesce(sum(octet_length(r.key) + octet_length(r.value)), 0)::bigint,
       (SELECT count(*) FROM cxone.submits s
         WHERE s.store = l.store AND s.at > clock_timestamp() - interval '1 min')
  FROM cxone.lease l LEFT JOIN cxone.records r ON r.store = l.store AND r.value IS NOT NULL
 WHERE $1::text IS NULL OR l.store = $1
 GROUP BY l.store
 ORDER BY l.store";

/// `$1` a store, or null for all: the replicas of the last minute.
pub(super) const REPLICAS: &str = "
SELECT store, name, revision, extract(epoch FROM clock_timestamp() - seen_at)::float8
  FROM cxone.replicas
 WHERE ($1::text IS NULL OR store = $1) AND seen_at > clock_timestamp() - interval '1 min'
 ORDER BY store, name";
