-- The tables of the control plane that a monitor reads, with the names, types and oddities of the 2025-10 snapshot.
-- Every time is `timestamp without time zone`. Columns the product fills with utcnow() are UTC; columns with a
-- now() default are in the TimeZone of the database session. Rows are in seed.sql.

CREATE TYPE connectiontype AS ENUM ('IDENTITY', 'DATABASE', 'API', 'FILE', 'CUSTOM');
CREATE TYPE connectionstatus AS ENUM ('ACTIVE', 'INACTIVE', 'ERROR', 'PENDING');

CREATE TABLE users (
    id serial PRIMARY KEY,
    username varchar(100) NOT NULL UNIQUE,
    email varchar(255) UNIQUE,
    password_hash varchar(255) NOT NULL,
    role varchar(50) NOT NULL DEFAULT 'viewer',
    status varchar(20) NOT NULL DEFAULT 'active',
    mfa_enabled boolean NOT NULL DEFAULT false,
    mfa_secret varchar(255),
    force_password_change boolean NOT NULL DEFAULT false,
    active_sessions integer NOT NULL DEFAULT 0,
    last_login timestamp without time zone,
    last_activity timestamp without time zone,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone
);

CREATE TABLE user_sessions (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users (id),
    jti varchar(64) NOT NULL UNIQUE,
    token_hash varchar(64) NOT NULL,
    ip_address varchar(64),
    user_agent varchar(255),
    created_at timestamp without time zone DEFAULT now(),
    expires_at timestamp without time zone NOT NULL,
    revoked boolean NOT NULL DEFAULT false,
    revoked_at timestamp without time zone
);
CREATE INDEX ix_user_sessions_expires_at ON user_sessions (expires_at);
CREATE INDEX ix_user_sessions_revoked ON user_sessions (revoked);
CREATE INDEX ix_user_sessions_token_hash ON user_sessions (token_hash);

CREATE TABLE peps (
    id serial PRIMARY KEY,
    bouncer_id varchar(100) NOT NULL UNIQUE,
    name varchar(255) NOT NULL,
    status varchar(20) DEFAULT 'active',
    environment varchar(20) DEFAULT 'sandbox',
    deployment_mode varchar(50),
    bouncer_version varchar(50),
    is_connected boolean DEFAULT false,
    intercepting_traffic boolean DEFAULT false,
    last_heartbeat timestamp without time zone,
    last_health_check timestamp without time zone,
    response_time double precision,
    current_load double precision,
    max_capacity integer DEFAULT 1000,
    target_url varchar(500),
    proxy_url varchar(500),
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone
);

CREATE TABLE protected_resources (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    resource_type varchar(50) DEFAULT 'api',
    environment varchar(20) DEFAULT 'sandbox',
    url varchar(500),
    bouncer_id integer REFERENCES peps (id),
    created_at timestamp without time zone DEFAULT now()
);

CREATE TABLE policies (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    description text,
    status varchar(20) NOT NULL DEFAULT 'draft',
    environment varchar(20) DEFAULT 'sandbox',
    sandbox_status varchar(20),
    production_status varchar(20),
    promoted_from_sandbox boolean DEFAULT false,
    resource_id integer REFERENCES protected_resources (id),
    bouncer_id integer REFERENCES peps (id),
    folder varchar(255),
    rego_code text,
    version varchar(20) DEFAULT '1.0.0',
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE TABLE audit_logs (
    id serial PRIMARY KEY,
    "timestamp" timestamp without time zone DEFAULT now(),
    user_id integer,
    "user" varchar(255),
    action varchar(100),
    resource varchar(255),
    resource_type varchar(100),
    result varchar(50),
    event_type varchar(50),
    outcome varchar(20),
    policy_name varchar(255),
    reason text,
    environment varchar(20),
    source_ip varchar(64),
    user_agent varchar(255),
    session_id varchar(64),
    created_at timestamp without time zone DEFAULT now()
);
CREATE INDEX ix_audit_logs_timestamp ON audit_logs ("timestamp");
CREATE INDEX ix_audit_logs_event_type ON audit_logs (event_type);
CREATE INDEX ix_audit_logs_environment ON audit_logs (environment);

-- Exists and is never written.
CREATE TABLE decision_requests (
    id serial PRIMARY KEY,
    request_id varchar(64),
    user_id varchar(255),
    resource varchar(255),
    action varchar(100),
    decision varchar(20),
    evaluation_time double precision,
    created_at timestamp without time zone DEFAULT now()
);

CREATE TABLE bouncer_opal_configuration (
    id serial PRIMARY KEY,
    bouncer_id varchar(100) NOT NULL UNIQUE REFERENCES peps (bouncer_id),
    environment varchar(20),
    resource_name varchar(255),
    polling_interval integer DEFAULT 30,
    last_sync_time timestamp without time zone,
    last_sync_status varchar(20),
    last_sync_error text,
    policies_count integer DEFAULT 0,
    next_sync_time timestamp without time zone,
    cache_ttl integer DEFAULT 300,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE TABLE bouncer_sync_history (
    id serial PRIMARY KEY,
    bouncer_id varchar(100) NOT NULL REFERENCES bouncer_opal_configuration (bouncer_id),
    sync_time timestamp without time zone DEFAULT now(),
    sync_type varchar(20),
    status varchar(20),
    policies_synced integer DEFAULT 0,
    policies_added integer DEFAULT 0,
    policies_updated integer DEFAULT 0,
    policies_deleted integer DEFAULT 0,
    error_message text,
    error_code varchar(50),
    duration_ms integer,
    github_api_calls integer DEFAULT 0,
    commit_sha varchar(64),
    branch varchar(100)
);
CREATE INDEX ix_bouncer_sync_history_sync_time ON bouncer_sync_history (sync_time);

CREATE TABLE pip_connections (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    provider varchar(100),
    connection_type connectiontype NOT NULL,
    status connectionstatus NOT NULL DEFAULT 'PENDING',
    environment varchar(20),
    credentials text,
    health_status varchar(20) DEFAULT 'unknown',
    last_health_check timestamp without time zone,
    sync_enabled boolean DEFAULT true,
    sync_frequency integer DEFAULT 300,
    last_sync timestamp without time zone,
    created_at timestamp without time zone DEFAULT now()
);

CREATE TABLE pip_sync_logs (
    id serial PRIMARY KEY,
    connection_id integer NOT NULL REFERENCES pip_connections (id),
    sync_type varchar(50),
    status varchar(20),
    records_processed integer DEFAULT 0,
    records_failed integer DEFAULT 0,
    duration_seconds double precision,
    error_message text,
    started_at timestamp without time zone,
    completed_at timestamp without time zone
);

CREATE TABLE oauth_tokens (
    id serial PRIMARY KEY,
    connection_id integer NOT NULL REFERENCES pip_connections (id),
    provider varchar(100),
    access_token text,
    refresh_token text,
    expires_at timestamp without time zone
);

CREATE TABLE github_configuration (
    id serial PRIMARY KEY,
    repo_url varchar(500),
    branch varchar(100) DEFAULT 'main',
    access_token text,
    auto_sync boolean DEFAULT true,
    sync_interval integer DEFAULT 15, -- minutes
    last_sync_time timestamp without time zone,
    connection_status varchar(20) DEFAULT 'disconnected',
    updated_at timestamp without time zone DEFAULT now()
);

CREATE TABLE opal_configuration (
    id serial PRIMARY KEY,
    server_url varchar(500),
    client_token text,
    connection_status varchar(20) DEFAULT 'disconnected',
    enable_statistics boolean DEFAULT false,
    data_update_interval integer DEFAULT 30
);

CREATE TABLE webhook_events (
    id serial PRIMARY KEY,
    source varchar(50),
    event_type varchar(100),
    payload text,
    processed boolean DEFAULT false,
    created_at timestamp without time zone DEFAULT now()
);

CREATE TABLE notification_settings (
    id serial PRIMARY KEY,
    channel varchar(50),
    alert_types json,
    enabled boolean DEFAULT true
);

CREATE TABLE global_pep_config (
    id serial PRIMARY KEY,
    policy_update_interval integer DEFAULT 30,
    fail_policy varchar(20) DEFAULT 'fail-closed',
    default_rate_limit integer DEFAULT 1000
);
