"""A small clinical diary: participants log in and keep entries, and every change stays on record.

Imports go down this list only: settings, journal, problems, passwords, fields; database; accounts; entries; faults;
answers, middleware; web; __main__. The commands beside it are `grant` and `account`.
"""
