"""How the new release is doing: samples taken in time, and a judgement over them that is a function of the samples alone."""
