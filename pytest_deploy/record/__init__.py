"""What happened: events, written once, chained, signed; the format is docs/record-format.md's."""
