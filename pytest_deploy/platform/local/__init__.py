"""The embedded platform: one supervisor a checkout, which owns PostgreSQL, the Cloud Run stand-in and its router."""
