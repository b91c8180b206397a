"""WHY IT WAS CHECKED: which step verifies which requirement."""
