"""A deployment as an ordered pytest run, whose evidence report is the audit record.

Folders are the flow of data, and imports go down this list only:
errors, config, record, platform, migrate, release, rollback, phase, audit, report, then the edges
(plugin, hookspecs, options, fixtures, cli).
"""

__version__ = "0.1.0"
