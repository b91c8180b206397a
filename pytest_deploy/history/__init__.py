"""What happened, found in seconds: questions to one or many logs, each answer held against the events it rests on.

row: one run as a listing tells it, folded from its events. asked: what is asked for, a pure predicate. index: SQLite
beside the log, which tells where to look; never believed, rebuilt when in doubt. answers: the index asked, its answers told
anew from the log. moment: what served at an instant.
"""
