-- Made-up rows for schema.sql: an installation in which everything was reported once. product.sql turns them into what
-- the 2025-10 product really leaves. Every secret-looking value here is invented and opens nothing.

INSERT INTO users (name, username, email, password_hash, role, status, mfa_enabled, force_password_change, last_login) VALUES
    ('Administrator', 'admin', 'admin@standin.invalid', 'pbkdf2_sha256$1000$9a3e$b60252b42d63f67161245298ce2e742e5a4da39f95db977269f7b7828d352341', 'builtin_admin', 'active', true, false, now() AT TIME ZONE 'UTC'),
    ('Viewer', 'viewer', 'viewer@standin.invalid', 'pbkdf2_sha256$1000$c1f0$bdc07613b63fbef47d0ff672c377776783227240b5dba96ef3f083a9a40debff', 'viewer', 'active', false, false, now() AT TIME ZONE 'UTC'),
    ('Ada', 'ada', 'ada@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'policy_author', 'active', true, false, now() AT TIME ZONE 'UTC'),
    ('Grace', 'grace', 'grace@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'policy_author', 'active', false, false, NULL),
    ('Edsger', 'edsger', 'edsger@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'developer', 'active', false, true, NULL),
    ('Barbara', 'barbara', 'barbara@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'developer', 'suspended', false, false, NULL);

INSERT INTO user_sessions (user_id, jti, token_hash, created_at, expires_at, revoked) VALUES
    (3, 'seed-1', 'seed-1', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', false),
    (3, 'seed-2', 'seed-2', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', false),
    (4, 'seed-3', 'seed-3', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', false),
    (4, 'seed-4', 'seed-4', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', true),
    (5, 'seed-5', 'seed-5', now() - interval '1 day', (now() AT TIME ZONE 'UTC') - interval '23 hours', false);

INSERT INTO peps (bouncer_id, name, status, environment, deployment_mode, bouncer_version, is_connected, intercepting_traffic, last_heartbeat, target_url) VALUES
    ('bouncer-sandbox', 'Sandbox bouncer', 'active', 'sandbox', 'sidecar', '1.0.0', true, true, now() AT TIME ZONE 'UTC', 'http://orders.standin.invalid'),
    ('bouncer-production', 'Production bouncer', 'active', 'production', 'sidecar', '1.0.0', true, true, now() AT TIME ZONE 'UTC', 'http://orders.standin.invalid');

INSERT INTO protected_resources (name, environment, url, auto_discovered, discovered_at, bouncer_id) VALUES
    ('orders', 'sandbox', 'http://orders.standin.invalid', true, now() AT TIME ZONE 'UTC', 1),
    ('orders', 'production', 'http://orders.standin.invalid', true, now() AT TIME ZONE 'UTC', 2),
    ('invoices', 'sandbox', 'http://invoices.standin.invalid', false, NULL, 1);

INSERT INTO policies (name, status, environment, sandbox_status, production_status, promoted_from_sandbox, promoted_at, promoted_by, scope, effect, resource_id, folder, rego_code, created_by, modified_by) VALUES
    ('canary', 'enabled', 'production', 'enabled', 'enabled', true, now() AT TIME ZONE 'UTC', 'admin', '["all"]', 'allow', '2', 'enabled', 'package enabled', 'admin', 'admin'),
    ('orders-read', 'enabled', 'sandbox', 'enabled', 'not-promoted', false, NULL, NULL, '["all"]', 'allow', '1', 'enabled', 'package enabled', 'ada', 'ada'),
    ('orders-write', 'enabled', 'production', 'enabled', 'enabled', true, now() AT TIME ZONE 'UTC', 'admin', '["all"]', 'allow', '2', 'enabled', 'package enabled', 'ada', 'ada'),
    ('invoices-read', 'draft', 'sandbox', 'draft', 'not-promoted', false, NULL, NULL, '["all"]', 'allow', '3', 'drafts', '', 'ada', 'ada'),
    ('orders-delete', 'disabled', 'sandbox', 'disabled', 'not-promoted', false, NULL, NULL, '["all"]', 'deny', '1', 'disabled', 'package disabled', 'ada', 'ada');

INSERT INTO audit_logs ("user", user_id, action, resource, resource_type, result, event_type, outcome, policy_name, reason, environment, source_ip) VALUES
    ('ada', 3, 'User logged in', 'User #3', 'user', 'success', 'USER_LOGIN', 'SUCCESS', NULL, NULL, 'sandbox', NULL),
    ('ada', NULL, 'read', '1', NULL, 'success', 'ACCESS_GRANTED', 'PERMIT', 'orders-read', 'Policy orders-read allows access', 'sandbox', '127.0.0.1'),
    ('grace', NULL, 'delete', '1', NULL, 'failure', 'ACCESS_DENIED', 'DENY', NULL, 'No applicable policies found', 'sandbox', '127.0.0.1');

INSERT INTO bouncer_opal_configuration (bouncer_id, environment, resource_name, polling_interval, last_sync_time, last_sync_status, policies_count, next_sync_time) VALUES
    ('bouncer-sandbox', 'sandbox', 'orders', 30, now() AT TIME ZONE 'UTC', 'success', 3, (now() AT TIME ZONE 'UTC') + interval '30 seconds'),
    ('bouncer-production', 'production', 'orders', 30, now() AT TIME ZONE 'UTC', 'success', 3, (now() AT TIME ZONE 'UTC') + interval '30 seconds');

INSERT INTO bouncer_sync_history (bouncer_id, sync_type, status, policies_synced, duration_ms, triggered_by, commit_sha, branch) VALUES
    ('bouncer-sandbox', 'auto', 'success', 3, 42, 'system', '0000000000000000000000000000000000000001', 'main'),
    ('bouncer-production', 'auto', 'success', 3, 47, 'system', '0000000000000000000000000000000000000001', 'main'),
    ('bouncer-production', 'manual', 'triggered', 0, NULL, 'admin', NULL, NULL);

INSERT INTO pip_connections (name, provider, connection_type, status, configuration, credentials, environment, health_status, last_health_check, sync_enabled, sync_frequency, last_sync, created_by) VALUES
    ('staff-directory', 'okta', 'IAM', 'ACTIVE', '{"auth_type": "none"}', '{"data": "stand-in-pip-credentials"}', 'production', 'healthy', now(), true, 300, now(), 'system'),
    ('orders-database', 'postgresql', 'DATABASE', 'ACTIVE', '{"auth_type": "none"}', '{"data": "stand-in-pip-credentials"}', 'sandbox', 'unknown', NULL, true, 300, NULL, 'system'),
    ('old-crm', 'salesforce', 'CRM', 'INACTIVE', '{"auth_type": "none"}', '{}', 'sandbox', 'unhealthy', NULL, false, 3600, NULL, 'system');

INSERT INTO pip_sync_logs (connection_id, sync_type, status, records_processed, records_synced, records_failed, error_message, duration_seconds, completed_at) VALUES
    (1, 'incremental', 'success', 120, 120, 0, NULL, 1.5, NULL),
    (2, 'incremental', 'error', 0, 0, 0, 'No API base URL configured', 0.4, NULL);

INSERT INTO oauth_tokens (connection_id, provider, access_token, refresh_token, expires_at) VALUES
    (1, 'okta', 'stand-in-access-token', 'stand-in-refresh-token', (now() AT TIME ZONE 'UTC') + interval '1 hour');

INSERT INTO github_configuration (repo_url, branch, access_token, auto_sync, sync_interval, last_sync_time, connection_status) VALUES
    ('https://git.standin.invalid/policies.git', 'main', 'stand-in-github-token', true, 15, now() AT TIME ZONE 'UTC', 'connected');

INSERT INTO opal_configuration (server_url, api_key, connection_status) VALUES
    ('http://opal-server:7002', 'stand-in-opal-token', 'connected');

INSERT INTO webhook_events (connection_id, source, event_type, event_data, processed) VALUES
    (1, 'okta', 'user.created', '{}', true),
    (1, 'okta', 'user.updated', '{}', false);

INSERT INTO notification_settings (user_id, environment, alert_types) VALUES
    (1, 'production', '["resource-status", "critical-policy-error", "high-denial-volume", "trial-expiration"]');

INSERT INTO global_pep_config (tenant_id) VALUES ('default');
