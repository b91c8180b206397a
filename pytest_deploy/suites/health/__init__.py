"""What serves is this release, and stays well."""
