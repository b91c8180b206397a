package main

// planned: the plan that the request of a run names passed, and asked for this run ("Verdicts" in docs/record-format.md).
func (r *records) planned(name string, it *run) bool {
	if it.made == nil {
		return false
	}
	plan := r.runs[it.made.data.text("plan")]
	return plan != nil && plan.asks == name
}

// asked is the run for which a plan asks, as it is decided; none where it did not pass.
func (r *run) asked(e entry) string {
	if r.opened.data.text("pipeline") != "plan" || !words("passed still-needed", e.data.text("outcome")) {
		return ""
	}
	for _, answer := range r.answers {
		if answer.data.text("verdict") == "refused" {
			return ""
		}
	}
	return e.data.text("request")
}
