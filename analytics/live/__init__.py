"""The live view in Redis or Valkey: state of agents, streams of events. PostgreSQL keeps the truth."""
