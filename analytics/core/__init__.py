"""Settings, errors, clock, ids, logging and telemetry names; no word of any domain."""
