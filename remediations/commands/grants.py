"""The SQL that gives the remediator its only right in the product's database: to end sessions idle in a transaction.

The functions select the sessions, so a caller can choose only the idle time and the number, within limits.
"""

from __future__ import annotations

import argparse
import re
import sys

from remediations.settings import RemediatorSettings

EXIT_CONFIG = 2
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")

SQL = """\
-- Run this in the product's database, as a superuser or as a role with pg_monitor and pg_signal_backend that owns what
-- it creates (ending sessions of a superuser takes a superuser). PostgreSQL 12 or newer. It may be run again.
-- Only sessions of role "{product}" can be ended. If the product's API logs in as another role, name it with
-- --product-role. The roles that are logged in now:
--   SELECT usename, count(*) FROM pg_stat_activity WHERE datname = current_database() GROUP BY usename;
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN
    CREATE ROLE "{role}" LOGIN;
  END IF;
END $do$;
CREATE SCHEMA IF NOT EXISTS controlcore_remediator;
REVOKE ALL ON SCHEMA controlcore_remediator FROM PUBLIC;

-- Idle sessions: client sessions of the control plane's role in this database, in an open transaction, for this long.
CREATE OR REPLACE FUNCTION controlcore_remediator.idle_sessions(least_seconds double precision)
RETURNS TABLE (pid integer, backend_start timestamptz, idle_seconds double precision, application_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
  SELECT a.pid, a.backend_start, extract(epoch FROM clock_timestamp() - a.state_change)::double precision,
         a.application_name
  FROM pg_catalog.pg_stat_activity AS a
  WHERE a.datname = current_database()
    AND a.usename = '{product}'
    AND a.backend_type = 'client backend'
    AND a.pid <> pg_backend_pid()
    AND a.state IN ('idle in transaction', 'idle in transaction (aborted)')
    AND a.state_change < clock_timestamp() - make_interval(secs => greatest(least_seconds, 60))
  ORDER BY a.state_change
$body$;

-- Ends at most five of them, the longest idle first; each is checked again, because it may have become active.
CREATE OR REPLACE FUNCTION controlcore_remediator.terminate_idle_sessions(least_seconds double precision, most integer)
RETURNS TABLE (pid integer, idle_seconds double precision)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT s.pid, s.backend_start, s.idle_seconds FROM controlcore_remediator.idle_sessions(least_seconds) AS s
    LIMIT greatest(0, least(most, 5))
  LOOP
    PERFORM pg_stat_clear_snapshot();
    IF EXISTS (
      SELECT FROM controlcore_remediator.idle_sessions(least_seconds) AS s
      WHERE s.pid = found.pid AND s.backend_start = found.backend_start
    ) AND pg_terminate_backend(found.pid) THEN
      pid := found.pid;
      idle_seconds := found.idle_seconds;
      RETURN NEXT;
    END IF;
  END LOOP;
END $body$;

REVOKE ALL ON FUNCTION controlcore_remediator.idle_sessions(double precision) FROM PUBLIC;
REVOKE ALL ON FUNCTION controlcore_remediator.terminate_idle_sessions(double precision, integer) FROM PUBLIC;
GRANT USAGE ON SCHEMA controlcore_remediator TO "{role}";
GRANT EXECUTE ON FUNCTION controlcore_remediator.idle_sessions(double precision) TO "{role}";
GRANT EXECUTE ON FUNCTION controlcore_remediator.terminate_idle_sessions(double precision, integer) TO "{role}";
"""
"""pg_stat_activity: PostgreSQL documentation, "The Cumulative Statistics System"; backend_type needs PostgreSQL 10."""


def render(role: str, product: str) -> str:
    """The SQL for the roles of the remediator and the control plane; raises ValueError for an invalid role name."""
    for name in (role, product):
        if NAME.fullmatch(name) is None:
            raise ValueError(f"not a plain role name: {name!r}")
    return SQL.format(role=role, product=product)


def run(options: argparse.Namespace, _settings: RemediatorSettings) -> int:
    """Prints the SQL; status 2 for an invalid role name."""
    try:
        sys.stdout.write(render(options.role, options.product_role))
    except ValueError as error:
        sys.stderr.write(f"controlcore-remediator: {error}\n")
        return EXIT_CONFIG
    return 0
