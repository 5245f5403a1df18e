-- +goose Up
ALTER TABLE epochs ADD COLUMN stepped_at INTEGER; -- when all serials were past what nameservers serve; NULL: not yet
UPDATE epochs SET stepped_at = opened_at;

-- The epoch that the change begins for its zone; 0 for all others. What
-- nameservers had under the serials before it may be another history's.
ALTER TABLE deltas ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
