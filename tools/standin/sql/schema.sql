-- The tables of the control plane that a monitor reads, column by column as the 2025-10 snapshot creates them; a test
-- compares them with tests/fixtures/product/tables.yaml. Every time is `timestamp without time zone`: columns that the
-- product fills with utcnow() are UTC, those it fills with now() are in the TimeZone of the database session.
-- No column but the key has a default here: the product's code writes them (written.sql). Rows are in seed.sql.

CREATE TYPE connectiontype AS ENUM ('IAM', 'HR', 'CRM', 'ERP', 'CSM', 'CLOUD', 'CMDB', 'DATABASE', 'WAREHOUSE', 'API', 'DOCUMENTS', 'STATIC', 'OPENAPI', 'MCP', 'CUSTOM');
CREATE TYPE connectionstatus AS ENUM ('ACTIVE', 'INACTIVE', 'ERROR', 'PENDING');

CREATE TABLE users (
    id serial PRIMARY KEY,
    name varchar NOT NULL,
    email varchar NOT NULL,
    username varchar NOT NULL,
    password_hash varchar NOT NULL,
    role varchar NOT NULL,
    status varchar NOT NULL,
    last_login timestamp without time zone,
    mfa_enabled boolean,
    permissions json,
    subscription_tier varchar,
    deployment_model varchar,
    github_repo varchar,
    api_key_sandbox varchar,
    api_key_production varchar,
    user_source varchar,
    force_password_change boolean,
    active_sessions integer,
    last_activity timestamp without time zone,
    last_ip_address varchar,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE UNIQUE INDEX ix_users_email ON users (email);
CREATE UNIQUE INDEX ix_users_username ON users (username);

CREATE TABLE user_sessions (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users (id),
    jti varchar NOT NULL,
    token_hash varchar NOT NULL,
    ip_address varchar,
    user_agent varchar,
    created_at timestamp without time zone,
    expires_at timestamp without time zone NOT NULL,
    revoked boolean,
    revoked_at timestamp without time zone,
    revoked_by integer REFERENCES users (id),
    revoke_reason varchar
);
CREATE INDEX ix_user_sessions_expires_at ON user_sessions (expires_at);
CREATE INDEX ix_user_sessions_revoked ON user_sessions (revoked);
CREATE INDEX ix_user_sessions_user_id ON user_sessions (user_id);
CREATE UNIQUE INDEX ix_user_sessions_jti ON user_sessions (jti);

CREATE TABLE peps (
    id serial PRIMARY KEY,
    name varchar NOT NULL,
    status varchar NOT NULL,
    environment varchar NOT NULL,
    current_load double precision,
    max_capacity double precision,
    response_time double precision,
    last_health_check timestamp without time zone,
    deployment_mode varchar,
    target_url varchar,
    proxy_url varchar,
    dns_domain varchar,
    dns_subdomain varchar,
    dns_provider varchar,
    dns_ttl integer,
    dns_cname_record varchar,
    dns_a_record varchar,
    ssl_enabled boolean,
    ssl_certificate_type varchar,
    ssl_certificate_path varchar,
    ssl_key_path varchar,
    ssl_auto_renew boolean,
    ingress_enabled boolean,
    egress_enabled boolean,
    rate_limit_per_minute integer,
    max_connections integer,
    timeout_seconds integer,
    retry_attempts integer,
    bouncer_id varchar,
    bouncer_version varchar,
    resources_protected integer,
    requests_per_hour integer,
    is_connected boolean,
    intercepting_traffic boolean,
    last_heartbeat timestamp without time zone,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE UNIQUE INDEX ix_peps_bouncer_id ON peps (bouncer_id);

CREATE TABLE protected_resources (
    id serial PRIMARY KEY,
    name varchar NOT NULL,
    url varchar NOT NULL,
    original_host varchar,
    original_host_production varchar,
    default_security_posture varchar,
    description text,
    environment varchar,
    auto_discovered boolean,
    discovered_at timestamp without time zone,
    bouncer_id integer REFERENCES peps (id),
    business_context text,
    data_classification varchar,
    compliance_tags json,
    cost_center varchar,
    owner_email varchar,
    owner_team varchar,
    sla_tier varchar,
    data_residency varchar,
    audit_level varchar,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE INDEX ix_protected_resources_auto_discovered ON protected_resources (auto_discovered);
CREATE INDEX ix_protected_resources_bouncer_id ON protected_resources (bouncer_id);

-- resource_id is the text of protected_resources.id; bouncer_id is text too. Neither has a foreign key.
CREATE TABLE policies (
    id serial PRIMARY KEY,
    name varchar NOT NULL,
    description text,
    status varchar NOT NULL,
    environment varchar,
    sandbox_status varchar,
    production_status varchar,
    promoted_from_sandbox boolean,
    promoted_at timestamp without time zone,
    promoted_by varchar,
    scope json,
    effect varchar NOT NULL,
    resource_id varchar,
    bouncer_id varchar,
    folder varchar,
    rego_code text,
    context_config json,
    version varchar,
    created_by varchar NOT NULL,
    modified_by varchar NOT NULL,
    created_at timestamp without time zone,
    last_modified timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE INDEX ix_policies_environment ON policies (environment);
CREATE INDEX ix_policies_promoted_from_sandbox ON policies (promoted_from_sandbox);

CREATE TABLE audit_logs (
    id serial PRIMARY KEY,
    "timestamp" timestamp without time zone,
    user_id integer REFERENCES users (id),
    "user" varchar NOT NULL,
    action varchar NOT NULL,
    resource varchar,
    resource_type varchar,
    result varchar NOT NULL,
    event_type varchar NOT NULL,
    outcome varchar NOT NULL,
    policy_name varchar,
    reason text,
    environment varchar,
    source_ip varchar,
    user_agent varchar,
    session_id varchar,
    created_at timestamp without time zone
);
CREATE INDEX ix_audit_logs_environment ON audit_logs (environment);
CREATE INDEX ix_audit_logs_event_type ON audit_logs (event_type);
CREATE INDEX ix_audit_logs_timestamp ON audit_logs ("timestamp");

-- Exists and is never written.
CREATE TABLE decision_requests (
    id serial PRIMARY KEY,
    "user" varchar NOT NULL,
    resource varchar NOT NULL,
    action varchar NOT NULL,
    context json,
    decision varchar NOT NULL,
    reason text,
    policy_name varchar,
    environment varchar,
    evaluation_time double precision,
    "timestamp" timestamp without time zone,
    created_at timestamp without time zone
);
CREATE INDEX ix_decision_requests_environment ON decision_requests (environment);

-- bouncer_id is the text of peps.bouncer_id, without a foreign key.
CREATE TABLE bouncer_opal_configuration (
    id serial PRIMARY KEY,
    bouncer_id varchar NOT NULL UNIQUE,
    environment varchar NOT NULL,
    resource_name varchar,
    use_tenant_default boolean,
    custom_repo_url varchar,
    custom_branch varchar,
    custom_access_token varchar,
    folder_path varchar,
    polling_interval integer,
    webhook_enabled boolean,
    webhook_secret varchar,
    policy_filters json,
    data_filters json,
    last_sync_time timestamp without time zone,
    last_sync_status varchar,
    last_sync_error text,
    policies_count integer,
    next_sync_time timestamp without time zone,
    cache_enabled boolean,
    cache_ttl integer,
    cache_max_size varchar,
    rate_limit_rps integer,
    rate_limit_burst integer,
    auto_configured boolean,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE INDEX ix_bouncer_opal_configuration_environment ON bouncer_opal_configuration (environment);

CREATE TABLE bouncer_sync_history (
    id serial PRIMARY KEY,
    bouncer_id varchar NOT NULL REFERENCES peps (bouncer_id),
    sync_time timestamp without time zone,
    sync_type varchar NOT NULL,
    status varchar NOT NULL,
    policies_synced integer,
    policies_added integer,
    policies_updated integer,
    policies_deleted integer,
    error_message text,
    error_code varchar,
    duration_ms integer,
    github_api_calls integer,
    triggered_by varchar,
    commit_sha varchar,
    branch varchar
);
CREATE INDEX ix_bouncer_sync_history_bouncer_id ON bouncer_sync_history (bouncer_id);
CREATE INDEX ix_bouncer_sync_history_sync_time ON bouncer_sync_history (sync_time);

CREATE TABLE pip_connections (
    id serial PRIMARY KEY,
    name varchar NOT NULL,
    description text,
    connection_type connectiontype NOT NULL,
    provider varchar NOT NULL,
    status connectionstatus,
    configuration json NOT NULL,
    credentials json NOT NULL,
    environment varchar NOT NULL,
    sandbox_endpoint varchar,
    production_endpoint varchar,
    health_check_url varchar,
    last_health_check timestamp without time zone,
    health_status varchar,
    sync_enabled boolean,
    sync_frequency integer,
    last_sync timestamp without time zone,
    created_by varchar NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE INDEX ix_pip_connections_environment ON pip_connections (environment);

CREATE TABLE pip_sync_logs (
    id serial PRIMARY KEY,
    connection_id integer NOT NULL REFERENCES pip_connections (id),
    sync_type varchar NOT NULL,
    status varchar NOT NULL,
    records_processed integer,
    records_synced integer,
    records_failed integer,
    error_message text,
    duration_seconds double precision,
    started_at timestamp without time zone,
    completed_at timestamp without time zone
);

CREATE TABLE oauth_tokens (
    id serial PRIMARY KEY,
    connection_id integer NOT NULL REFERENCES pip_connections (id),
    provider varchar NOT NULL,
    token_type varchar,
    access_token text NOT NULL,
    refresh_token text,
    expires_at timestamp without time zone,
    scope varchar,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);

CREATE TABLE github_configuration (
    id serial PRIMARY KEY,
    repo_url varchar NOT NULL,
    branch varchar,
    access_token varchar NOT NULL,
    auto_sync boolean,
    sync_interval integer,
    webhook_url varchar,
    webhook_secret varchar,
    last_sync_time timestamp without time zone,
    connection_status varchar,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);

CREATE TABLE opal_configuration (
    id serial PRIMARY KEY,
    server_url varchar NOT NULL,
    client_url varchar,
    api_key varchar,
    broadcast_channel varchar,
    data_update_interval integer,
    enable_statistics boolean,
    connection_status varchar,
    sandbox_broadcast_channel varchar,
    production_broadcast_channel varchar,
    environment_aware boolean,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);

CREATE TABLE webhook_events (
    id serial PRIMARY KEY,
    connection_id integer NOT NULL REFERENCES pip_connections (id),
    event_type varchar NOT NULL,
    event_id varchar,
    user_id varchar,
    source varchar NOT NULL,
    event_data json,
    processed boolean,
    processed_at timestamp without time zone,
    error_message text,
    created_at timestamp without time zone
);

CREATE TABLE notification_settings (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users (id),
    environment varchar NOT NULL,
    alert_types json,
    email_enabled boolean,
    email_recipients json,
    slack_enabled boolean,
    slack_channel varchar,
    servicenow_enabled boolean,
    servicenow_instance varchar,
    webhook_enabled boolean,
    webhook_url varchar,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE INDEX ix_notification_settings_environment ON notification_settings (environment);

CREATE TABLE global_pep_config (
    id serial PRIMARY KEY,
    tenant_id varchar NOT NULL,
    control_plane_url varchar,
    default_proxy_domain varchar,
    default_sidecar_port integer,
    sidecar_injection_mode varchar,
    sidecar_namespace_selector varchar,
    sidecar_resource_limits_cpu varchar,
    sidecar_resource_limits_memory varchar,
    sidecar_init_container_enabled boolean,
    policy_update_interval integer,
    bundle_download_timeout integer,
    policy_checksum_validation boolean,
    decision_log_export_enabled boolean,
    decision_log_batch_size integer,
    decision_log_flush_interval integer,
    metrics_export_enabled boolean,
    fail_policy varchar,
    default_security_posture varchar,
    default_rate_limit integer,
    default_timeout integer,
    max_connections integer,
    auto_ssl_enabled boolean,
    mutual_tls_required boolean,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE INDEX ix_global_pep_config_tenant_id ON global_pep_config (tenant_id);
