"""What people do, from web, social, messages and leads: events taken in, funnels, paths, leads and what steps cost."""
