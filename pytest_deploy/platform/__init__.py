"""How we touch the world: protocols here, one implementation a folder beside them."""
