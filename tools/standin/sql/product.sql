-- Turns seed.sql's rows into what the 2025-10 product leaves of a healthy installation (tests/fixtures/product): a bouncer
-- made by POST /peps/ has no bouncer_id and was never heard of, a promoted policy belongs to the environment `both`, an
-- information point stays PENDING, and nothing ever reports a synchronisation.

INSERT INTO peps (name, environment) VALUES ('Made by hand', 'sandbox');

UPDATE policies SET environment = 'both' WHERE promoted_from_sandbox;

DELETE FROM oauth_tokens;
DELETE FROM pip_sync_logs;
UPDATE pip_connections
   SET status = 'PENDING', health_status = 'unknown', last_health_check = NULL, last_sync = NULL;

DELETE FROM bouncer_sync_history;
UPDATE bouncer_opal_configuration
   SET last_sync_time = NULL, last_sync_status = NULL, next_sync_time = NULL, policies_count = 0;

UPDATE github_configuration SET last_sync_time = NULL;
