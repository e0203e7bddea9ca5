"""The processes of one machine: servers from wheels, our own parts, and who watches over them."""
