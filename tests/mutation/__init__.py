"""Small faults are put into the engine, its Lua included, and tests have to notice each of them."""
