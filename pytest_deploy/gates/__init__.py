"""May it go now: one pure function a gate, values in, verdict out; and when it may, if not now."""
