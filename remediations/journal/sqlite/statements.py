# ruff: noqa: S608 - statements are put together from the constants of two files; values are always parameters
"""The statements of the SQLite journal. Rules that must hold for two processes at once are part of the statements."""

from __future__ import annotations

from remediations.journal.sqlite.migrations import FLYING, OPEN

CLAIM = f"""
UPDATE remediation
SET state = CASE WHEN state IN ('received', 'held') THEN 'claimed' ELSE state END,
    fence = fence + 1, worker = :worker, lease_until = :until, updated_at = :now
WHERE id = (
    SELECT id FROM remediation
    WHERE {OPEN} AND next_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
    ORDER BY next_at, id LIMIT 1
)
RETURNING *"""
PUT_OFF = "UPDATE remediation SET next_at = ? WHERE id = ?"
TAKE_OVER = "UPDATE remediation SET lease_until = NULL WHERE lease_until IS NOT NULL"
"""The fence stays: if the holder of the claim is still alive, it can no longer change anything."""
OURS = "id = :id AND fence = :fence AND lease_until > :now"
"""True for the newest claim until its lease ends; a closed remediation has no lease."""
ADVANCE = f"""
UPDATE remediation
SET state = :state, updated_at = :now,
    reason = coalesce(:reason, reason), next_at = coalesce(:next_at, next_at),
    operation_id = coalesce(:operation_id, operation_id), plan = coalesce(:plan, plan),
    written_at = coalesce(:written_at, written_at), attempts = attempts + :attempt,
    lease_until = CASE WHEN :releases THEN NULL ELSE coalesce(:lease_until, lease_until) END
WHERE {OURS} AND state = :expected
RETURNING *"""
RENEW = f"UPDATE remediation SET lease_until = :until WHERE {OURS} RETURNING *"
NOTE = f"""
UPDATE remediation
SET updated_at = :now, next_at = coalesce(:next_at, next_at),
    lease_until = CASE WHEN :next_at IS NULL THEN coalesce(:lease_until, lease_until) ELSE NULL END
WHERE {OURS}"""
RECORD = "INSERT INTO record (remediation, at, kind, state, data) VALUES (?, ?, ?, ?, ?)"
PACKED_RECORD = "INSERT INTO record (remediation, at, kind, state, data, packed, base) VALUES (?, ?, ?, ?, ?, ?, ?)"
BASE = """
SELECT number, packed FROM record WHERE remediation = ? AND kind = ? AND packed IS NOT NULL AND base IS NULL
ORDER BY number DESC LIMIT 1"""
"""The newest record of a kind in a story that is packed by itself: later ones are stored as what differs from it."""
WHOLE_RECORD = """
SELECT record.*, whole.packed AS base_packed FROM record LEFT JOIN record AS whole ON whole.number = record.base"""
FIND = f"SELECT id, state FROM remediation WHERE {OPEN} AND policy = ? AND namespace = ? AND kind = ? AND name = ?"
BEGIN = """
INSERT INTO remediation (id, policy, namespace, kind, name, state, alert, created_at, updated_at, next_at)
VALUES (?, ?, ?, ?, ?, 'received', ?, ?, ?, ?)"""
RESOLVE = """
UPDATE remediation
SET is_resolved = 1, next_at = CASE WHEN state = 'held' THEN min(next_at, ?) ELSE next_at END
WHERE id = ?"""
"""Only a hint to decide again: the condition decides whether anything is still needed."""
SCHEDULE = """
UPDATE remediation
SET state = 'held', reason = 'scheduled', next_at = ?, updated_at = ?, fence = fence + 1, lease_until = NULL
WHERE id = ? AND state IN ('received', 'claimed', 'held')"""
JOIN = "UPDATE remediation SET is_resolved = 0 WHERE id = ?"
QUARANTINE = "INSERT INTO quarantine (at, problem, raw) VALUES (?, ?, ?)"

ONE = "SELECT * FROM remediation WHERE id = ?"
STORY = f"{WHOLE_RECORD} WHERE record.remediation = ? ORDER BY record.number"
SELECTED = """
(:policy = '' OR policy IN (:policy, :policy || ':revert'))
AND (:target = '' OR :target IN (name, kind || '/' || namespace || '/' || name))
AND instr(:states, ',' || state || ',') AND (:reason = '' OR reason = :reason) AND created_at >= :since
AND (:is_rejected IS NULL OR :is_rejected = EXISTS (
    SELECT 1 FROM approval WHERE number = (SELECT max(number) FROM approval WHERE approval.remediation = remediation.id)
    AND NOT is_approved
))"""
"""Compares with `remediations.journal.port.RemediationFilter`."""
LIST = f"SELECT * FROM remediation WHERE {SELECTED} ORDER BY id DESC LIMIT :limit"
LIST_OPEN = f"SELECT * FROM remediation WHERE {OPEN} AND {SELECTED} ORDER BY id DESC LIMIT :limit"
COUNT_LISTED = f"SELECT count(*) AS number FROM remediation WHERE {SELECTED}"
NEWEST_DECISION = f"""{WHOLE_RECORD}
WHERE record.remediation = ? AND record.kind = 'decision' ORDER BY record.number DESC LIMIT 1"""
WRITTEN = "SELECT * FROM remediation WHERE written_at >= ? ORDER BY written_at DESC"
IN_FLIGHT = f"SELECT id FROM remediation WHERE {FLYING} AND namespace = ? AND kind = ? AND name = ? AND id <> ?"
COUNTS = """
SELECT state, count(*) AS number FROM remediation GROUP BY state
UNION ALL SELECT 'quarantined', count(*) FROM quarantine"""
PAUSE = """
INSERT OR REPLACE INTO pause (name, owner, reason, until, since, policy, target) VALUES (?, ?, ?, ?, ?, ?, ?)"""
OTHER_PAUSE = """
SELECT * FROM pause WHERE name = ? AND (until IS NULL OR until > ?) AND (policy <> ? OR target <> ?)"""
PAUSES = "SELECT * FROM pause WHERE until IS NULL OR until > ? ORDER BY name"
RESUME = "DELETE FROM pause WHERE name = ? RETURNING until IS NULL OR until > ? AS was_in_force"
FORGET = f"DELETE FROM remediation WHERE NOT {OPEN} AND updated_at < ?"
FORGET_QUARANTINE = "DELETE FROM quarantine WHERE at < ?"
SEEN = """
SELECT seen.at, remediation.state FROM seen LEFT JOIN remediation ON remediation.id = seen.remediation
WHERE seen.policy = ? AND seen.namespace = ? AND seen.kind = ? AND seen.name = ? AND content = ?"""
SEE = "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?)"
UNSEE = "DELETE FROM seen WHERE policy = ? AND namespace = ? AND kind = ? AND name = ? AND content = ?"
FORGET_SEEN = "DELETE FROM seen WHERE at < ?"
ARRIVE = "INSERT INTO arrival VALUES (?, ?)"
ARRIVALS = "SELECT at, number FROM arrival WHERE at >= ? ORDER BY at DESC"
FORGET_ARRIVALS = "DELETE FROM arrival WHERE at < ?"
ANSWER = "INSERT INTO approval VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
ANSWERED = "UPDATE remediation SET next_at = min(next_at, ?) WHERE id = ?"
APPROVAL = "SELECT * FROM approval WHERE remediation = ? ORDER BY number DESC LIMIT 1"
RESET_BREAKER = "INSERT INTO breaker_reset VALUES (?, ?, ?, ?)"
BREAKER_RESETS = "SELECT * FROM breaker_reset WHERE at >= ? ORDER BY at DESC"
BREAKER_DUE = """
UPDATE remediation SET next_at = min(next_at, ?)
WHERE state = 'held' AND reason = 'breaker_open' AND kind || '/' || namespace || '/' || name = ?"""
ACT = "INSERT INTO act VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"
ACTS = "SELECT * FROM act ORDER BY number DESC LIMIT ?"
FORGET_ACTS = "DELETE FROM act WHERE at < ?"
LAST_ENTRY = "SELECT at FROM record ORDER BY number DESC LIMIT 1"
PROBE = "INSERT OR REPLACE INTO probe VALUES (1, julianday('now'))"
