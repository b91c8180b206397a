"""MAY IT GO: requests made, gates bound to their facts, approvals taken in, plans and rehearsals."""
