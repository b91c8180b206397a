"""Who is told: what there is to tell of a run, and the channels that it goes to."""
