"""How it is shown: pages, routes, sockets and the command line."""
