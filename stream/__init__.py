"""Sound in, decisions out: everything that runs live."""
