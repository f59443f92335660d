"""How settings are written: their rules and types, files of settings, and overrides."""
