"""Live sockets: state pushed to browsers and programs, never by page reruns."""
