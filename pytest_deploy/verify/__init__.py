"""Can it be trusted: verification from the files alone."""
