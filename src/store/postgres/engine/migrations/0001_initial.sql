-- The first schema. Times are milliseconds since 1970, UTC; hours and minutes are whole ones since 1970.
--
-- Ids of attempts and events begin with the second in which the row was made (`engine/ids.rs`): the order of ids is that
-- of time, an id alone leads to its partition, and a range of time is a range of ids. They stay below 2^53.
--
-- Text that is compared is in the order of its bytes (COLLATE "C"). No foreign keys lead to or from partitions.

CREATE SEQUENCE attempt_ids AS bigint MINVALUE 0 MAXVALUE 2097151 CYCLE;
CREATE SEQUENCE event_ids AS bigint MINVALUE 0 MAXVALUE 2097151 CYCLE;

-- ---------------------------------------------------------------------------------------------
-- Nodes and shards

-- The lease of a node is its row; shards point to nodes. `id` is random, of one run of one process: an id that was used is
-- never used again, whatever a failover forgets. `name` is `base_name`, with a suffix while another node renews under
-- that name. `process` is the process and when it was started, as its machine knows it. `configuration` is a hash of what
-- must be the same on all nodes. Shards that a node which is leaving holds are given to the others.
CREATE TABLE nodes (
    id            bigint PRIMARY KEY DEFAULT (random() * 9007199254740991)::bigint,
    name          text COLLATE "C" NOT NULL,
    base_name     text COLLATE "C" NOT NULL DEFAULT '',
    run_id        uuid NOT NULL UNIQUE,
    machine       text NOT NULL,
    boot          text NOT NULL,
    process       text NOT NULL DEFAULT '',
    version       text NOT NULL,
    lease_ms      bigint NOT NULL,
    renewal       bigint NOT NULL DEFAULT 0,
    since         bigint NOT NULL,
    renewed_at    bigint NOT NULL,
    in_flight     bigint NOT NULL DEFAULT 0,
    is_listening  boolean NOT NULL DEFAULT false,
    is_leaving    boolean NOT NULL DEFAULT false,
    configuration text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- Nodes that were lost and not stopped, for people; nothing depends on them.
CREATE TABLE nodes_gone (
    id         bigint PRIMARY KEY,
    name       text COLLATE "C" NOT NULL,
    version    text NOT NULL,
    lease_ms   bigint NOT NULL,
    since      bigint NOT NULL,
    renewed_at bigint NOT NULL
);

-- A result of an attempt locks the row of its shard FOR SHARE; who takes the shard updates it.
CREATE TABLE shards (
    shard  smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 255),
    epoch  bigint NOT NULL DEFAULT 0,
    holder bigint
) WITH (fillfactor = 50);
INSERT INTO shards (shard) SELECT generate_series(0, 255);

-- Requests that were in flight when their shard was handed over: their node writes the result although the epoch is an
-- old one, and nobody else sends the attempt meanwhile. `epoch` is that in which it was sent.
CREATE TABLE handed_over (
    attempt  bigint PRIMARY KEY,
    endpoint uuid NOT NULL,
    shard    smallint NOT NULL,
    node     bigint NOT NULL,
    epoch    bigint NOT NULL
);

-- What is done once in the cluster, by the node that leads.
CREATE TABLE leaders (
    work    text COLLATE "C" PRIMARY KEY,
    epoch   bigint NOT NULL,
    holder  bigint,
    renewal bigint NOT NULL
) WITH (fillfactor = 50);

-- Small facts about the whole store, by name.
--   clock: the latest time that a server has seen. generation: how often endpoints have changed.
CREATE TABLE meta (
    name  text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
);
-- Sealed facts: key_check.
CREATE TABLE seals (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
INSERT INTO meta (name, value) VALUES ('generation', 0);
-- What people set while the server runs, as text by name. The configuration wins over it.
CREATE TABLE settings (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);
-- The oldest program that may use the schema since each migration, as the number of the last migration it knows.
CREATE TABLE schema_programs (
    version bigint PRIMARY KEY,
    oldest  bigint NOT NULL
);

-- ---------------------------------------------------------------------------------------------
-- People

CREATE TABLE apps (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid        uuid NOT NULL UNIQUE,
    name       text COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

-- How many attempts of an app have a result. Its row is locked at the end of a result's transaction, so results are
-- numbered in the order of their commits.
CREATE TABLE result_seqs (
    app        bigint PRIMARY KEY REFERENCES apps (id),
    result_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE keys (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text COLLATE "C" NOT NULL UNIQUE,
    app          bigint NOT NULL REFERENCES apps (id),
    name         text NOT NULL,
    scopes       text NOT NULL,
    secret_hash  bytea NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint,
    revoked_at   bigint,
    last_used_at bigint
);

CREATE TABLE users (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid             uuid NOT NULL UNIQUE,
    email           text COLLATE "C" NOT NULL UNIQUE,
    role            text NOT NULL,
    password_hash   text NOT NULL,
    created_at      bigint NOT NULL,
    last_sign_in_at bigint
);

CREATE TABLE sessions (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid          uuid NOT NULL UNIQUE,
    token_hash   bytea NOT NULL UNIQUE,
    user_id      bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address      text,
    user_agent   text,
    created_at   bigint NOT NULL,
    last_seen_at bigint NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

-- One for each start of a node, and only while there is no user.
CREATE TABLE setup_links (
    token_hash bytea PRIMARY KEY,
    expires_at bigint NOT NULL
);

-- Failed sign-ins of all nodes (`service/people/throttle.rs`). A crash of the server may lose them.
CREATE UNLOGGED TABLE sign_ins (
    name    text COLLATE "C" PRIMARY KEY,
    missing bigint NOT NULL,
    at      bigint NOT NULL,
    until   bigint NOT NULL
);
CREATE INDEX sign_ins_until ON sign_ins (until);

CREATE TABLE activity (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text COLLATE "C" NOT NULL,
    app        bigint REFERENCES apps (id),
    actor      text NOT NULL,
    address    text,
    summary    text NOT NULL,
    details    text NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX activity_kind ON activity (kind, id);

-- Where alerts go. url and token are sealed; host is the URL's, for people.
CREATE TABLE alert_targets (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid           uuid NOT NULL UNIQUE,
    name          text NOT NULL,
    form          text NOT NULL,
    url           bytea NOT NULL,
    host          text NOT NULL,
    token         bytea,
    kinds         text NOT NULL,
    queue_age     text NOT NULL,
    disk_free_mib bigint NOT NULL,
    silent_after  text NOT NULL,
    smtp          text,
    enabled       boolean NOT NULL,
    created_at    bigint NOT NULL,
    updated_at    bigint NOT NULL,
    tried_at      bigint,
    tried_kind    text,
    tried_error   text
);

-- What was told last, for the silence after it. mark is NULL for what is told again while it lasts.
CREATE TABLE alerts_told (
    target  bigint NOT NULL REFERENCES alert_targets (id) ON DELETE CASCADE,
    kind    text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    mark    text,
    told_at bigint NOT NULL,
    PRIMARY KEY (target, kind, subject)
);

-- ---------------------------------------------------------------------------------------------
-- Endpoints and sources

-- Deleted endpoints stay as rows (deleted_at), because the log shows their names and URLs; their
-- secrets and header values do not. Text forms as with SQLite (`shared/endpoint_text.rs`).
CREATE TABLE endpoints (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid                  uuid NOT NULL UNIQUE,
    app                  bigint NOT NULL REFERENCES apps (id),
    shard                smallint NOT NULL,
    status               text COLLATE "C" NOT NULL,
    status_since         bigint NOT NULL,
    status_reason        text,
    disabled_at          bigint,
    deleted_at           bigint,
    url                  text COLLATE "C" NOT NULL,
    name                 text COLLATE "C" NOT NULL,
    description          text COLLATE "C",
    events               text NOT NULL,
    filter               text,
    filter_error         text,
    filter_error_at      bigint,
    headers              text NOT NULL,
    request              text,
    secrets              text,
    encrypted            boolean NOT NULL,
    retry_schedule       text,
    rate_limit           bigint,
    rate_text            text,
    timeout              text,
    contact              text,
    preset               text,
    secret               bytea NOT NULL,
    retired_secrets      text NOT NULL,
    consecutive_failures bigint NOT NULL,
    hold_reason          text,
    hold_since           bigint,
    hold_probe_at        bigint,
    hold_step            bigint NOT NULL DEFAULT 0,
    row_failures         bigint NOT NULL DEFAULT 0,
    row_first_at         bigint,
    row_last_at          bigint,
    limited              bigint NOT NULL DEFAULT 0,
    failed_since         bigint,
    is_announced         boolean NOT NULL DEFAULT false,
    failure_kind         text,
    failure_status       bigint,
    failure_message      text,
    created_at           bigint NOT NULL,
    updated_at           bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX endpoints_app ON endpoints (app, uid);
CREATE INDEX endpoints_on_hold ON endpoints (hold_since) WHERE hold_reason IS NOT NULL;
CREATE INDEX endpoints_filter ON endpoints (app) WHERE filter IS NOT NULL;
CREATE INDEX endpoints_contact ON endpoints (id) WHERE contact IS NOT NULL;

-- What was told last to a webhook's contact, as alerts_told has it for targets.
CREATE TABLE contacts_told (
    endpoint bigint NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    kind     text COLLATE "C" NOT NULL,
    mark     text,
    told_at  bigint NOT NULL,
    PRIMARY KEY (endpoint, kind)
);

-- Deleted sources stay as rows (deleted_at) while an event of theirs is kept, because recipes read their
-- summary; their secrets do not.
CREATE TABLE sources (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid             uuid NOT NULL UNIQUE,
    app             bigint NOT NULL REFERENCES apps (id),
    name            text COLLATE "C" NOT NULL,
    enabled         boolean NOT NULL,
    token_hash      bytea NOT NULL UNIQUE,
    token           bytea NOT NULL,
    old_token_hash  bytea,
    old_token_until bigint,
    verify          bytea NOT NULL,
    settings        text NOT NULL,
    preset          text,
    last_request_at bigint,
    deleted_at      bigint,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL
);
CREATE UNIQUE INDEX sources_name ON sources (app, name) WHERE deleted_at IS NULL;
CREATE INDEX sources_old_token ON sources (old_token_hash) WHERE old_token_hash IS NOT NULL;

CREATE TABLE inbound (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      bigint NOT NULL REFERENCES sources (id),
    outcome     text COLLATE "C" NOT NULL,
    received_at bigint NOT NULL,
    event       bigint,
    status      bigint NOT NULL,
    client_ip   text,
    method      text NOT NULL,
    path        text,
    reason      text,
    size        bigint NOT NULL,
    headers     text NOT NULL,
    query       text,
    body        bytea,
    content     text
);
CREATE INDEX inbound_source ON inbound (source, id);
-- Strangers write these, so only the newest of them are kept.
CREATE INDEX inbound_refused ON inbound (source, id) WHERE outcome = 'rejected' OR outcome = 'invalid';
CREATE INDEX inbound_received ON inbound (received_at);
CREATE INDEX inbound_event ON inbound (event) WHERE event IS NOT NULL;

CREATE TABLE inbound_seen (
    source     bigint NOT NULL,
    digest     bytea NOT NULL,
    event      bigint NOT NULL,
    event_uid  uuid NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (source, digest)
);
CREATE INDEX inbound_seen_age ON inbound_seen (created_at);

-- Outcomes by the hour, of the last day.
CREATE TABLE inbound_hours (
    source    bigint NOT NULL,
    hour      bigint NOT NULL,
    accepted  bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    ignored   bigint NOT NULL DEFAULT 0,
    rejected  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (source, hour)
);

-- ---------------------------------------------------------------------------------------------
-- Events

-- count and last_seen_at are about what clients posted; a type that only tests or the system used has 0.
CREATE TABLE event_types (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app          bigint NOT NULL REFERENCES apps (id),
    name         text COLLATE "C" NOT NULL,
    count        bigint NOT NULL DEFAULT 0,
    last_seen_at bigint,
    UNIQUE (app, name)
) WITH (fillfactor = 70);

-- payload NULL: retention took it; then the event is in no list and no walk.
CREATE TABLE events (
    id          bigint NOT NULL,
    uid         uuid NOT NULL,
    app         bigint NOT NULL,
    type        bigint NOT NULL,
    created_at  bigint NOT NULL,
    deliveries  bigint NOT NULL,
    filtered    bigint NOT NULL DEFAULT 0,
    source      bigint,
    hops        bigint,
    origin      text COLLATE "C" NOT NULL,
    resource_id text COLLATE "C",
    payload     bytea,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX events_uid ON events (uid);
CREATE INDEX events_app ON events (app, id) WHERE payload IS NOT NULL;
CREATE INDEX events_type ON events (app, type, id) WHERE payload IS NOT NULL AND origin <> 'test';
CREATE INDEX events_resource ON events (app, resource_id, id) WHERE resource_id IS NOT NULL;
CREATE INDEX events_source ON events (source, id) WHERE source IS NOT NULL;

-- Enough of the event to answer a repetition, whatever retention took.
CREATE TABLE idempotency (
    app         bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    event       bigint NOT NULL,
    event_uid   uuid NOT NULL,
    type        bigint NOT NULL,
    resource_id text,
    deliveries  bigint NOT NULL,
    filtered    bigint NOT NULL,
    event_at    bigint NOT NULL,
    digest      bytea NOT NULL,
    created_at  bigint NOT NULL,
    PRIMARY KEY (app, key)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Events that go to so many endpoints that their first attempts are written in steps. A row is an event whose
-- attempts are not all there; it is written with the event and removed with the last step, so a crash leaves it.
-- A node takes the steps of those that it has opened (`node` is of one opening of the store), and of those that nobody
-- steps any more; nobody's at first: the default.
CREATE TABLE fan_outs (
    event     bigint PRIMARY KEY,
    app       bigint NOT NULL,
    endpoints bytea NOT NULL,
    next      bigint NOT NULL DEFAULT 0,
    node      bigint NOT NULL DEFAULT 0
);
CREATE INDEX fan_outs_node ON fan_outs (node, app);

-- ---------------------------------------------------------------------------------------------
-- Jobs

-- A job walks over rows it was made for: those of attempts (retry), events (recover) or endpoints
-- (replay), up to walk_to, which was the highest when it was made. It has been as far as
-- (walked_at, walked_id); walked_at is 0 where the walk goes by id alone. At all times
--   queued = delivered + exhausted + cancelled + its attempts that are pending.
CREATE TABLE jobs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid        uuid NOT NULL UNIQUE,
    app        bigint NOT NULL REFERENCES apps (id),
    kind       text COLLATE "C" NOT NULL,
    status     text COLLATE "C" NOT NULL,
    work       text NOT NULL,
    walking    boolean NOT NULL,
    walk_to    bigint NOT NULL,
    walked_at  bigint NOT NULL,
    walked_id  bigint NOT NULL,
    matched    bigint NOT NULL,
    queued     bigint NOT NULL DEFAULT 0,
    delivered  bigint NOT NULL DEFAULT 0,
    exhausted  bigint NOT NULL DEFAULT 0,
    cancelled  bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX jobs_app ON jobs (app, id);
CREATE INDEX jobs_walking ON jobs (id) WHERE walking;
-- Jobs that were stopped and still have pending attempts: for as long as those are being cancelled.
CREATE INDEX jobs_ending ON jobs (id)
    WHERE status = 'cancelled' AND queued > delivered + exhausted + cancelled;

-- ---------------------------------------------------------------------------------------------
-- The queue: pending attempts
--
-- `class` packs what filters ask for and that is no time into one number, from the lowest bit:
--   0-9    response_status, 0: none
--   10     whether response_time_ms is missing
--   11-13  attempted_at after created_at: 0: never, 1: within a minute, 2: an hour, 3: a day, 4: else
--   14-17  error_kind, 0: none
--   18-20  trigger
--   21-23  status, in alphabetical order, which is the order of the sorted list (4: pending)
--   24-    type
-- A pending one has the response status and error of the attempt before it (last_outcome), unless it failed locally.
-- The program computes it in one place for both tables (`engine/class.rs`).
CREATE TABLE queue (
    id            bigint NOT NULL,
    first_id      bigint,                -- the delivery's first attempt; NULL for that one itself
    app           bigint NOT NULL,
    endpoint      bigint NOT NULL,
    event         bigint NOT NULL,
    type          bigint NOT NULL,
    class         bigint NOT NULL,
    created_at    bigint NOT NULL,
    begun_at      bigint NOT NULL,       -- when the delivery was made
    due_at        bigint NOT NULL,
    job           bigint,
    held_since    bigint,                -- since when the delivery has been held, once it was
    local_since   bigint,                -- when it first failed for a cause of this machine
    last_outcome  bigint,                -- how the attempt before ended: bits of its class; error_kind 15 for 'local'
    attempt       bigint NOT NULL,
    schedule_used bigint,                -- steps of the schedule; NULL for a single shot
    shard         smallint NOT NULL,
    urgent        boolean NOT NULL DEFAULT false,
    trigger       text COLLATE "C" NOT NULL,
    error_kind    text COLLATE "C",
    error_message text,
    PRIMARY KEY (id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);
-- A number, because a comparison of a truth value is folded and then finds no index.
CREATE INDEX queue_due ON queue (endpoint, ((job IS NOT NULL)::int), due_at, id) WHERE schedule_used IS NOT NULL;
CREATE INDEX queue_single ON queue (due_at, id) WHERE schedule_used IS NULL;
CREATE INDEX queue_urgent ON queue (due_at, id) WHERE urgent;
CREATE INDEX queue_held ON queue (endpoint, held_since) WHERE held_since IS NOT NULL;
CREATE INDEX queue_local ON queue (local_since) WHERE local_since IS NOT NULL;
CREATE INDEX queue_job ON queue (job) WHERE job IS NOT NULL;
CREATE INDEX queue_first ON queue (first_id) WHERE first_id IS NOT NULL;
CREATE INDEX queue_event ON queue (event);
-- The lists.
CREATE INDEX queue_app_class ON queue (app, class, id);
CREATE INDEX queue_endpoint_class ON queue (endpoint, class, id);
-- Attempts whose id is not that of their delivery, or may not be.
CREATE INDEX queue_app_delivery ON queue (app, class, (coalesce(first_id, id)), id)
    WHERE first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay');
CREATE INDEX queue_endpoint_delivery ON queue (endpoint, class, (coalesce(first_id, id)), id)
    WHERE first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay');

-- ---------------------------------------------------------------------------------------------
-- The log: attempts that have ended
--
-- What only the detail shows is in the row too; bodies that are large are out of the way by themselves (TOAST).
-- Headers as text (`shared/header_text.rs`). A row changes only when its delivery goes on after all (superseded), or when
-- it was in flight as it was cancelled. When the attempt that follows is due is in the queue, and not here.
CREATE TABLE log (
    id                 bigint NOT NULL,
    first_id           bigint,
    delivery           bigint GENERATED ALWAYS AS (coalesce(first_id, id)) STORED,
    app                bigint NOT NULL,
    endpoint           bigint NOT NULL,
    event              bigint NOT NULL,
    type               bigint NOT NULL,
    class              bigint NOT NULL,
    created_at         bigint NOT NULL,
    begun_at           bigint NOT NULL,
    due_at             bigint NOT NULL,
    result_seq         bigint NOT NULL,
    attempted_at       bigint,
    finished_at        bigint,
    response_time_ms   bigint,
    job                bigint,
    held_since         bigint,
    last_outcome       bigint,
    attempt            bigint NOT NULL,
    schedule_used      bigint,
    response_status    bigint,
    dns_ms             bigint,
    connect_ms         bigint,
    tls_ms             bigint,
    first_byte_ms      bigint,
    response_truncated boolean,
    status             text COLLATE "C" NOT NULL,
    trigger            text COLLATE "C" NOT NULL,
    error_kind         text COLLATE "C",
    error_message      text,
    remote_address     text,
    request_method     text,             -- NULL: POST
    request_url        text,
    request_headers    text,
    response_headers   text,
    request_body       bytea,            -- NULL: the event's payload
    response_body      bytea,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
-- The lists, in the order of id within a class.
CREATE INDEX log_app_class ON log (app, class, id);
CREATE INDEX log_endpoint_class ON log (endpoint, class, id);
CREATE INDEX log_app_attempted ON log (app, class, attempted_at, id) WHERE attempted_at IS NOT NULL;
CREATE INDEX log_endpoint_attempted ON log (endpoint, class, attempted_at, id) WHERE attempted_at IS NOT NULL;
CREATE INDEX log_app_time ON log (app, class, response_time_ms, id) WHERE response_time_ms IS NOT NULL;
CREATE INDEX log_endpoint_time ON log (endpoint, class, response_time_ms, id) WHERE response_time_ms IS NOT NULL;
-- Newest attempts that are not the first of their delivery; the id of the others is that of their delivery.
CREATE INDEX log_app_delivery ON log (app, class, delivery, id)
    WHERE status <> 'failed' AND (first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay'));
CREATE INDEX log_endpoint_delivery ON log (endpoint, class, delivery, id)
    WHERE status <> 'failed' AND (first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay'));
CREATE INDEX log_first ON log (first_id, id) WHERE first_id IS NOT NULL;
CREATE INDEX log_event ON log (event);
CREATE INDEX log_result ON log (app, result_seq);

-- What lies before all other partitions: rows that were moved here because something still needs them, and rows of
-- before this database. `engine/partitions.rs` makes the others, ahead of time.
CREATE TABLE log_old (LIKE log INCLUDING DEFAULTS INCLUDING GENERATED);
CREATE TABLE events_old (LIKE events INCLUDING DEFAULTS);

-- ---------------------------------------------------------------------------------------------
-- Counts, as with SQLite. Tests are in none of them.

-- Deliveries as they stand now, over all time. At all times, as long as retention has taken nothing:
--   deliveries: attempts without first_id; delivered, exhausted, pending, cancelled: attempts with this status
--   (exactly one of a delivery is not 'failed'), so that these four add up to deliveries;
--   response_*: over the attempts with status delivered or exhausted that have a response time.
CREATE TABLE totals (
    endpoint          bigint PRIMARY KEY,
    deliveries        bigint NOT NULL,
    delivered         bigint NOT NULL,
    exhausted         bigint NOT NULL,
    pending           bigint NOT NULL,
    cancelled         bigint NOT NULL,
    failed_attempts   bigint NOT NULL,
    response_count    bigint NOT NULL,
    response_ms_sum   bigint NOT NULL,
    response_ms_min   bigint,
    response_ms_max   bigint,
    last_attempted_at bigint,
    record            text NOT NULL DEFAULT ''
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE total_times (
    endpoint bigint NOT NULL,
    bucket   bigint NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (endpoint, bucket)
) WITH (fillfactor = 50);

-- Failed attempts by what went wrong, without interrupted ones. response_status 0: no response.
CREATE TABLE total_errors (
    endpoint        bigint NOT NULL,
    error_kind      text COLLATE "C" NOT NULL,
    response_status bigint NOT NULL,
    count           bigint NOT NULL,
    last_message    text NOT NULL,
    last_at         bigint NOT NULL,
    PRIMARY KEY (endpoint, error_kind, response_status)
) WITH (fillfactor = 50);

-- By the hour. By the time at which a delivery was made: deliveries, failed_deliveries. By the time it ended:
-- ended_exhausted. By attempted_at: the rest.
CREATE TABLE rollups (
    endpoint          bigint NOT NULL,
    hour              bigint NOT NULL,
    delivered         bigint NOT NULL,
    exhausted         bigint NOT NULL,
    failed_attempts   bigint NOT NULL,
    response_ms_sum   bigint NOT NULL,
    deliveries        bigint NOT NULL,
    failed_deliveries bigint NOT NULL,
    response_count    bigint NOT NULL,
    ended_exhausted   bigint NOT NULL,
    PRIMARY KEY (endpoint, hour)
) WITH (fillfactor = 70);

CREATE TABLE rollup_times (
    endpoint bigint NOT NULL,
    hour     bigint NOT NULL,
    bucket   bigint NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (endpoint, hour, bucket)
) WITH (fillfactor = 70);

CREATE TABLE rollup_statuses (
    endpoint bigint NOT NULL,
    hour     bigint NOT NULL,
    class    text COLLATE "C" NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (endpoint, hour, class)
) WITH (fillfactor = 70);

-- The same by the minute, kept for a week.
CREATE TABLE minutes (
    endpoint          bigint NOT NULL,
    minute            bigint NOT NULL,
    delivered         bigint NOT NULL,
    exhausted         bigint NOT NULL,
    failed_attempts   bigint NOT NULL,
    response_ms_sum   bigint NOT NULL,
    deliveries        bigint NOT NULL,
    failed_deliveries bigint NOT NULL,
    response_count    bigint NOT NULL,
    ended_exhausted   bigint NOT NULL,
    PRIMARY KEY (endpoint, minute)
) WITH (fillfactor = 70);

CREATE TABLE minute_times (
    endpoint bigint NOT NULL,
    minute   bigint NOT NULL,
    bucket   bigint NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (endpoint, minute, bucket)
) WITH (fillfactor = 70);
CREATE INDEX minutes_minute ON minutes (minute);
CREATE INDEX minute_times_minute ON minute_times (minute);

-- ---------------------------------------------------------------------------------------------
-- What groups have counted and nobody has added to the tables above yet (`engine/folding.rs`). Groups only insert here,
-- so nodes that count for the same endpoint do not wait for each other.

CREATE TABLE totals_added (
    id                bigint GENERATED ALWAYS AS IDENTITY,
    endpoint          bigint NOT NULL,
    deliveries        bigint NOT NULL,
    delivered         bigint NOT NULL,
    exhausted         bigint NOT NULL,
    pending           bigint NOT NULL,
    cancelled         bigint NOT NULL,
    failed_attempts   bigint NOT NULL,
    response_count    bigint NOT NULL,
    response_ms_sum   bigint NOT NULL,
    response_ms_min   bigint,
    response_ms_max   bigint,
    last_attempted_at bigint,
    record            text NOT NULL
);
CREATE INDEX totals_added_endpoint ON totals_added (endpoint);

CREATE TABLE total_times_added (
    endpoint bigint NOT NULL,
    bucket   bigint NOT NULL,
    count    bigint NOT NULL
);
CREATE INDEX total_times_added_endpoint ON total_times_added (endpoint);

CREATE TABLE total_errors_added (
    endpoint        bigint NOT NULL,
    error_kind      text COLLATE "C" NOT NULL,
    response_status bigint NOT NULL,
    count           bigint NOT NULL,
    last_message    text NOT NULL,
    last_at         bigint NOT NULL
);
CREATE INDEX total_errors_added_endpoint ON total_errors_added (endpoint);

-- Minutes, of which hours are made.
CREATE TABLE minutes_added (
    endpoint          bigint NOT NULL,
    minute            bigint NOT NULL,
    delivered         bigint NOT NULL,
    exhausted         bigint NOT NULL,
    failed_attempts   bigint NOT NULL,
    response_ms_sum   bigint NOT NULL,
    deliveries        bigint NOT NULL,
    failed_deliveries bigint NOT NULL,
    response_count    bigint NOT NULL,
    ended_exhausted   bigint NOT NULL
);
CREATE INDEX minutes_added_endpoint ON minutes_added (endpoint);

CREATE TABLE minute_times_added (
    endpoint bigint NOT NULL,
    minute   bigint NOT NULL,
    bucket   bigint NOT NULL,
    count    bigint NOT NULL
);
CREATE INDEX minute_times_added_endpoint ON minute_times_added (endpoint);

CREATE TABLE rollup_statuses_added (
    endpoint bigint NOT NULL,
    hour     bigint NOT NULL,
    class    text COLLATE "C" NOT NULL,
    count    bigint NOT NULL
);
CREATE INDEX rollup_statuses_added_endpoint ON rollup_statuses_added (endpoint);

-- Events that clients have posted.
CREATE TABLE event_types_added (
    type         bigint NOT NULL,
    count        bigint NOT NULL,
    last_seen_at bigint NOT NULL
);
CREATE INDEX event_types_added_type ON event_types_added (type);

-- They are emptied all the time.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['totals_added', 'total_times_added', 'total_errors_added', 'minutes_added',
        'minute_times_added', 'rollup_statuses_added', 'event_types_added'] LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, '
            'autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1, '
            'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)', name);
    END LOOP;
END
$$;

-- The counts as they stand now: several rows of a key.
CREATE VIEW totals_now AS
    SELECT 0::bigint AS id, endpoint, deliveries, delivered, exhausted, pending, cancelled, failed_attempts,
        response_count, response_ms_sum, response_ms_min, response_ms_max, last_attempted_at, record FROM totals
    UNION ALL SELECT id, endpoint, deliveries, delivered, exhausted, pending, cancelled, failed_attempts,
        response_count, response_ms_sum, response_ms_min, response_ms_max, last_attempted_at, record FROM totals_added;
CREATE VIEW total_times_now AS
    SELECT endpoint, bucket, count FROM total_times
    UNION ALL SELECT endpoint, bucket, count FROM total_times_added;
CREATE VIEW total_errors_now AS
    SELECT endpoint, error_kind, response_status, count, last_message, last_at FROM total_errors
    UNION ALL SELECT endpoint, error_kind, response_status, count, last_message, last_at FROM total_errors_added;
CREATE VIEW minutes_now AS
    SELECT endpoint, minute, delivered, exhausted, failed_attempts, response_ms_sum,
        deliveries, failed_deliveries, response_count, ended_exhausted FROM minutes
    UNION ALL SELECT endpoint, minute, delivered, exhausted, failed_attempts, response_ms_sum,
        deliveries, failed_deliveries, response_count, ended_exhausted FROM minutes_added;
CREATE VIEW rollups_now AS
    SELECT endpoint, hour, delivered, exhausted, failed_attempts, response_ms_sum,
        deliveries, failed_deliveries, response_count, ended_exhausted FROM rollups
    UNION ALL SELECT endpoint, minute / 60 AS hour, delivered, exhausted, failed_attempts, response_ms_sum,
        deliveries, failed_deliveries, response_count, ended_exhausted FROM minutes_added;
CREATE VIEW minute_times_now AS
    SELECT endpoint, minute, bucket, count FROM minute_times
    UNION ALL SELECT endpoint, minute, bucket, count FROM minute_times_added;
CREATE VIEW rollup_times_now AS
    SELECT endpoint, hour, bucket, count FROM rollup_times
    UNION ALL SELECT endpoint, minute / 60 AS hour, bucket, count FROM minute_times_added;
CREATE VIEW rollup_statuses_now AS
    SELECT endpoint, hour, class, count FROM rollup_statuses
    UNION ALL SELECT endpoint, hour, class, count FROM rollup_statuses_added;
