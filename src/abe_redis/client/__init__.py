"""How Redis is reached: the only place for connections, the wire, topologies, TLS and what failures mean."""
