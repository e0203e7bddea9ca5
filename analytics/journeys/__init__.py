"""What people do: leads, messages, web and social events; funnels, paths and what a step costs."""
