"""How a dataset that is not on this machine becomes a folder: a zip with its checksum, a repository of a hub."""
