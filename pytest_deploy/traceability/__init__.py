"""WHY IT WAS CHECKED: which step verifies which assertion of the specification."""
