"""When work happens: jobs, workflows and their engines; headless."""
