-- What the product's code writes into a column when the caller gives no value. In the product these are no defaults of
-- the database; here they are, so that rows can be inserted as briefly as the product's code does.

ALTER TABLE users
    ALTER COLUMN role SET DEFAULT 'user',
    ALTER COLUMN status SET DEFAULT 'active',
    ALTER COLUMN mfa_enabled SET DEFAULT false,
    ALTER COLUMN permissions SET DEFAULT '[]',
    ALTER COLUMN subscription_tier SET DEFAULT 'kickstart',
    ALTER COLUMN deployment_model SET DEFAULT 'hosted',
    ALTER COLUMN user_source SET DEFAULT 'local',
    ALTER COLUMN force_password_change SET DEFAULT false,
    ALTER COLUMN active_sessions SET DEFAULT 0,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE user_sessions
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN revoked SET DEFAULT false;

ALTER TABLE peps
    ALTER COLUMN status SET DEFAULT 'active',
    ALTER COLUMN current_load SET DEFAULT 0.0,
    ALTER COLUMN max_capacity SET DEFAULT 100.0,
    ALTER COLUMN response_time SET DEFAULT 0.0,
    ALTER COLUMN deployment_mode SET DEFAULT 'reverse-proxy',
    ALTER COLUMN dns_provider SET DEFAULT 'Cloudflare',
    ALTER COLUMN dns_ttl SET DEFAULT 300,
    ALTER COLUMN ssl_enabled SET DEFAULT true,
    ALTER COLUMN ssl_certificate_type SET DEFAULT 'letsencrypt',
    ALTER COLUMN ssl_auto_renew SET DEFAULT true,
    ALTER COLUMN ingress_enabled SET DEFAULT true,
    ALTER COLUMN egress_enabled SET DEFAULT true,
    ALTER COLUMN rate_limit_per_minute SET DEFAULT 1000,
    ALTER COLUMN max_connections SET DEFAULT 500,
    ALTER COLUMN timeout_seconds SET DEFAULT 30,
    ALTER COLUMN retry_attempts SET DEFAULT 3,
    ALTER COLUMN bouncer_version SET DEFAULT 'v2.1.0',
    ALTER COLUMN resources_protected SET DEFAULT 0,
    ALTER COLUMN requests_per_hour SET DEFAULT 0,
    ALTER COLUMN is_connected SET DEFAULT false,
    ALTER COLUMN intercepting_traffic SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE protected_resources
    ALTER COLUMN default_security_posture SET DEFAULT 'deny-all',
    ALTER COLUMN environment SET DEFAULT 'sandbox',
    ALTER COLUMN auto_discovered SET DEFAULT false,
    ALTER COLUMN compliance_tags SET DEFAULT '[]',
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE policies
    ALTER COLUMN status SET DEFAULT 'draft',
    ALTER COLUMN environment SET DEFAULT 'sandbox',
    ALTER COLUMN sandbox_status SET DEFAULT 'not-promoted',
    ALTER COLUMN production_status SET DEFAULT 'not-promoted',
    ALTER COLUMN promoted_from_sandbox SET DEFAULT false,
    ALTER COLUMN scope SET DEFAULT '[]',
    ALTER COLUMN folder SET DEFAULT 'enabled',
    ALTER COLUMN version SET DEFAULT '1.0.0',
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN last_modified SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE audit_logs
    ALTER COLUMN "timestamp" SET DEFAULT now(),
    ALTER COLUMN environment SET DEFAULT 'sandbox',
    ALTER COLUMN created_at SET DEFAULT now();

ALTER TABLE decision_requests
    ALTER COLUMN context SET DEFAULT '{}',
    ALTER COLUMN environment SET DEFAULT 'sandbox',
    ALTER COLUMN "timestamp" SET DEFAULT now(),
    ALTER COLUMN created_at SET DEFAULT now();

ALTER TABLE bouncer_opal_configuration
    ALTER COLUMN use_tenant_default SET DEFAULT true,
    ALTER COLUMN polling_interval SET DEFAULT 30,
    ALTER COLUMN webhook_enabled SET DEFAULT false,
    ALTER COLUMN policy_filters SET DEFAULT '[]',
    ALTER COLUMN data_filters SET DEFAULT '[]',
    ALTER COLUMN policies_count SET DEFAULT 0,
    ALTER COLUMN cache_enabled SET DEFAULT true,
    ALTER COLUMN cache_ttl SET DEFAULT 300,
    ALTER COLUMN cache_max_size SET DEFAULT '100MB',
    ALTER COLUMN rate_limit_rps SET DEFAULT 100,
    ALTER COLUMN rate_limit_burst SET DEFAULT 200,
    ALTER COLUMN auto_configured SET DEFAULT true,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE bouncer_sync_history
    ALTER COLUMN sync_time SET DEFAULT now(),
    ALTER COLUMN policies_synced SET DEFAULT 0,
    ALTER COLUMN policies_added SET DEFAULT 0,
    ALTER COLUMN policies_updated SET DEFAULT 0,
    ALTER COLUMN policies_deleted SET DEFAULT 0,
    ALTER COLUMN github_api_calls SET DEFAULT 0;

ALTER TABLE pip_connections
    ALTER COLUMN status SET DEFAULT 'PENDING',
    ALTER COLUMN health_status SET DEFAULT 'unknown',
    ALTER COLUMN sync_enabled SET DEFAULT true,
    ALTER COLUMN sync_frequency SET DEFAULT 300,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE pip_sync_logs
    ALTER COLUMN records_processed SET DEFAULT 0,
    ALTER COLUMN records_synced SET DEFAULT 0,
    ALTER COLUMN records_failed SET DEFAULT 0,
    ALTER COLUMN started_at SET DEFAULT now();

ALTER TABLE oauth_tokens
    ALTER COLUMN token_type SET DEFAULT 'Bearer',
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE github_configuration
    ALTER COLUMN branch SET DEFAULT 'main',
    ALTER COLUMN auto_sync SET DEFAULT true,
    ALTER COLUMN sync_interval SET DEFAULT 5,
    ALTER COLUMN connection_status SET DEFAULT 'disconnected',
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE opal_configuration
    ALTER COLUMN broadcast_channel SET DEFAULT 'policy_updates',
    ALTER COLUMN data_update_interval SET DEFAULT 10,
    ALTER COLUMN enable_statistics SET DEFAULT true,
    ALTER COLUMN connection_status SET DEFAULT 'disconnected',
    ALTER COLUMN sandbox_broadcast_channel SET DEFAULT 'sandbox_policy_updates',
    ALTER COLUMN production_broadcast_channel SET DEFAULT 'production_policy_updates',
    ALTER COLUMN environment_aware SET DEFAULT true,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE webhook_events
    ALTER COLUMN processed SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now();

ALTER TABLE notification_settings
    ALTER COLUMN alert_types SET DEFAULT '[]',
    ALTER COLUMN email_enabled SET DEFAULT true,
    ALTER COLUMN email_recipients SET DEFAULT '[]',
    ALTER COLUMN slack_enabled SET DEFAULT false,
    ALTER COLUMN servicenow_enabled SET DEFAULT false,
    ALTER COLUMN webhook_enabled SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE global_pep_config
    ALTER COLUMN control_plane_url SET DEFAULT 'https://api.controlcore.io',
    ALTER COLUMN default_proxy_domain SET DEFAULT 'bouncer.controlcore.io',
    ALTER COLUMN default_sidecar_port SET DEFAULT 8080,
    ALTER COLUMN sidecar_injection_mode SET DEFAULT 'automatic',
    ALTER COLUMN sidecar_resource_limits_cpu SET DEFAULT '500m',
    ALTER COLUMN sidecar_resource_limits_memory SET DEFAULT '256Mi',
    ALTER COLUMN sidecar_init_container_enabled SET DEFAULT true,
    ALTER COLUMN policy_update_interval SET DEFAULT 30,
    ALTER COLUMN bundle_download_timeout SET DEFAULT 10,
    ALTER COLUMN policy_checksum_validation SET DEFAULT true,
    ALTER COLUMN decision_log_export_enabled SET DEFAULT true,
    ALTER COLUMN decision_log_batch_size SET DEFAULT 100,
    ALTER COLUMN decision_log_flush_interval SET DEFAULT 5,
    ALTER COLUMN metrics_export_enabled SET DEFAULT true,
    ALTER COLUMN fail_policy SET DEFAULT 'fail-closed',
    ALTER COLUMN default_security_posture SET DEFAULT 'deny-all',
    ALTER COLUMN default_rate_limit SET DEFAULT 1000,
    ALTER COLUMN default_timeout SET DEFAULT 30,
    ALTER COLUMN max_connections SET DEFAULT 500,
    ALTER COLUMN auto_ssl_enabled SET DEFAULT true,
    ALTER COLUMN mutual_tls_required SET DEFAULT false,
    ALTER COLUMN created_at SET DEFAULT now(),
    ALTER COLUMN updated_at SET DEFAULT now();
