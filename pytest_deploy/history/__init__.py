"""WHICH RUNS THERE WERE: questions to one or many logs, answered in seconds, each answer held against its events.

runs: one run as a listing tells it, folded from its events; which runs are asked for. index: SQLite beside the log,
which tells where to look; never believed, rebuilt when in doubt. history: the indexes asked, and the answers.
"""
