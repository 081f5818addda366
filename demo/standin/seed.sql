-- Made-up rows for schema.sql. Every secret-looking value here is invented and opens nothing.

INSERT INTO users (username, email, password_hash, role, status, mfa_enabled, force_password_change, last_login) VALUES
    ('admin', 'admin@standin.invalid', 'pbkdf2_sha256$1000$9a3e$b60252b42d63f67161245298ce2e742e5a4da39f95db977269f7b7828d352341', 'builtin_admin', 'active', true, false, now() AT TIME ZONE 'UTC'),
    ('viewer', 'viewer@standin.invalid', 'pbkdf2_sha256$1000$c1f0$bdc07613b63fbef47d0ff672c377776783227240b5dba96ef3f083a9a40debff', 'viewer', 'active', false, false, now() AT TIME ZONE 'UTC'),
    ('ada', 'ada@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'policy_author', 'active', true, false, now() AT TIME ZONE 'UTC'),
    ('grace', 'grace@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'policy_author', 'active', false, false, NULL),
    ('edsger', 'edsger@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'developer', 'active', false, true, NULL),
    ('barbara', 'barbara@standin.invalid', 'pbkdf2_sha256$1000$c1f0$00', 'developer', 'suspended', false, false, NULL);

INSERT INTO user_sessions (user_id, jti, token_hash, created_at, expires_at, revoked) VALUES
    (3, 'seed-1', 'seed-1', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', false),
    (3, 'seed-2', 'seed-2', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', false),
    (4, 'seed-3', 'seed-3', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', false),
    (4, 'seed-4', 'seed-4', now(), (now() AT TIME ZONE 'UTC') + interval '8 hours', true),
    (5, 'seed-5', 'seed-5', now() - interval '1 day', (now() AT TIME ZONE 'UTC') - interval '23 hours', false);

INSERT INTO peps (bouncer_id, name, status, environment, deployment_mode, bouncer_version, is_connected, intercepting_traffic, last_heartbeat, target_url) VALUES
    ('bouncer-sandbox', 'Sandbox bouncer', 'active', 'sandbox', 'sidecar', '1.0.0', true, true, now() AT TIME ZONE 'UTC', 'http://orders.standin.invalid'),
    ('bouncer-production', 'Production bouncer', 'active', 'production', 'sidecar', '1.0.0', true, true, now() AT TIME ZONE 'UTC', 'http://orders.standin.invalid');

INSERT INTO protected_resources (name, resource_type, environment, url, bouncer_id) VALUES
    ('orders', 'api', 'sandbox', 'http://orders.standin.invalid', 1),
    ('orders', 'api', 'production', 'http://orders.standin.invalid', 2),
    ('invoices', 'api', 'sandbox', 'http://invoices.standin.invalid', 1);

INSERT INTO policies (name, status, environment, sandbox_status, production_status, promoted_from_sandbox, resource_id, bouncer_id, folder, rego_code) VALUES
    ('canary', 'enabled', 'production', 'enabled', 'enabled', true, 2, 2, 'enabled', 'package enabled'),
    ('orders-read', 'enabled', 'sandbox', 'enabled', NULL, false, 1, 1, 'enabled', 'package enabled'),
    ('orders-write', 'enabled', 'production', 'enabled', 'enabled', true, 2, 2, 'enabled', 'package enabled'),
    ('invoices-read', 'draft', 'sandbox', 'draft', NULL, false, 3, 1, 'drafts', NULL),
    ('orders-delete', 'disabled', 'sandbox', 'disabled', NULL, false, 1, 1, 'disabled', 'package disabled');

INSERT INTO audit_logs ("user", user_id, action, resource, resource_type, result, event_type, outcome, policy_name, reason, environment) VALUES
    ('ada', 3, 'login', 'session', 'session', 'success', 'USER_LOGIN', 'SUCCESS', NULL, NULL, 'sandbox'),
    ('ada', 3, 'read', 'orders', 'api', 'allowed', 'ACCESS_GRANTED', 'PERMIT', 'orders-read', 'Access allowed by policy', 'sandbox'),
    ('grace', 4, 'delete', 'orders', 'api', 'denied', 'ACCESS_DENIED', 'DENY', NULL, 'No matching policy', 'sandbox');

INSERT INTO bouncer_opal_configuration (bouncer_id, environment, resource_name, polling_interval, last_sync_time, last_sync_status, policies_count, next_sync_time) VALUES
    ('bouncer-sandbox', 'sandbox', 'orders', 30, now() AT TIME ZONE 'UTC', 'success', 3, (now() AT TIME ZONE 'UTC') + interval '30 seconds'),
    ('bouncer-production', 'production', 'orders', 30, now() AT TIME ZONE 'UTC', 'success', 3, (now() AT TIME ZONE 'UTC') + interval '30 seconds');

INSERT INTO bouncer_sync_history (bouncer_id, sync_type, status, policies_synced, duration_ms, commit_sha, branch) VALUES
    ('bouncer-sandbox', 'auto', 'success', 3, 42, '0000000000000000000000000000000000000001', 'main'),
    ('bouncer-production', 'auto', 'success', 3, 47, '0000000000000000000000000000000000000001', 'main'),
    ('bouncer-production', 'manual', 'triggered', 0, NULL, NULL, 'main');

INSERT INTO pip_connections (name, provider, connection_type, status, environment, credentials, health_status, last_health_check, sync_enabled, sync_frequency, last_sync) VALUES
    ('staff-directory', 'okta', 'IDENTITY', 'ACTIVE', 'production', 'stand-in-pip-credentials', 'healthy', now(), true, 300, now()),
    ('orders-database', 'postgresql', 'DATABASE', 'ACTIVE', 'sandbox', 'stand-in-pip-credentials', 'unknown', NULL, true, 300, NULL),
    ('old-crm', 'salesforce', 'API', 'INACTIVE', 'sandbox', NULL, 'unhealthy', NULL, false, 3600, NULL);

INSERT INTO pip_sync_logs (connection_id, sync_type, status, records_processed, records_failed, duration_seconds, started_at, completed_at) VALUES
    (1, 'manual', 'success', 120, 0, 1.5, now() - interval '2 seconds', now()),
    (2, 'manual', 'error', 0, 3, 0.4, now() - interval '1 second', now());

INSERT INTO oauth_tokens (connection_id, provider, access_token, refresh_token, expires_at) VALUES
    (1, 'okta', 'stand-in-access-token', 'stand-in-refresh-token', (now() AT TIME ZONE 'UTC') + interval '1 hour');

INSERT INTO github_configuration (repo_url, branch, access_token, auto_sync, sync_interval, last_sync_time, connection_status) VALUES
    ('https://git.standin.invalid/policies.git', 'main', 'stand-in-github-token', true, 15, now() AT TIME ZONE 'UTC', 'connected');

INSERT INTO opal_configuration (server_url, client_token, connection_status, enable_statistics, data_update_interval) VALUES
    ('http://opal-server:7000', 'stand-in-opal-token', 'connected', false, 30);

INSERT INTO webhook_events (source, event_type, payload, processed) VALUES
    ('github', 'push', '{}', true),
    ('github', 'push', '{}', false);

INSERT INTO notification_settings (channel, alert_types) VALUES
    ('email', '["resource-status", "critical-policy-error", "high-denial-volume", "trial-expiration"]');

INSERT INTO global_pep_config DEFAULT VALUES;
