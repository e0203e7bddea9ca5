"""Worker processes: the run worker, the model worker with its child, the scheduler."""
