package cost

import "sysprof/profile"

// uncertain is the warning of an estimate of the run without tracing whose range is wide. doubtNs of that are
// for what may have been lost to tracing, and preemptionOff for other programs.
func uncertain(o *profile.Overhead, doubtNs, preemptionOff float64) []profile.Warning {
	const silently = 0.1 // of it: how far off it may be without a word
	e := &o.UntracedNs
	off := float64(max(e.HighNs-e.Ns, e.Ns-e.LowNs))
	if off <= silently*float64(e.Ns) {
		return nil
	}
	why := profile.UntracedByTracing
	switch {
	case preemptionOff > off/2:
		why = profile.UntracedByOthers
	case doubtNs > off/2:
		why = profile.UntracedByDoubt
	}
	return []profile.Warning{{Kind: why}}
}

// queueWarnings are those about latencies: of calls that stood in line, and of calls that took less than the transit
// given by hand.
func queueWarnings(o *profile.Overhead, l *losses) (w []profile.Warning) {
	const many = 0.05
	queued, unlined, tooShort := share(o.Queued, o), share(l.unlined, o), share(l.tooShort, o)
	if queued > many {
		kind := profile.QueuedCorrected
		switch {
		case o.Source == profile.Uncorrected:
			kind = profile.QueuedRaw
		case unlined > many:
			kind = profile.QueuedInLatency
		}
		w = append(w, profile.Warning{Kind: kind, Share: queued})
	}
	if tooShort > many {
		w = append(w, profile.Warning{Kind: profile.ShorterThanByHand, Share: tooShort})
	}
	return w
}

// conditionWarnings are those about calls across CPUs, and on a condition that was not calibrated.
func conditionWarnings(o *profile.Overhead, fits perCondition) (w []profile.Warning) {
	calls := [profile.Conditions]uint64{profile.SameCPU: o.Calls - o.CrossCPU, profile.CrossCPU: o.CrossCPU}
	kinds := [profile.Conditions]profile.WarningKind{profile.SameCPU: profile.SameCPUInferred, profile.CrossCPU: profile.CrossCPUInferred}
	for c, f := range fits {
		if f != nil && f.lent && calls[c] > 0 {
			w = append(w, profile.Warning{Kind: kinds[c], Share: share(calls[c], o)})
		}
	}
	// Half of the spread is how far off a call may be. Less than a quarter of a transit is what calls differ
	// by in a calibration, too; and few calls do not change the picture.
	const many, wide = 0.2, 0.5
	if f := fits[profile.CrossCPU]; f != nil && share(o.CrossCPU, o) >= many && f.middleNs > 0 && f.spread() > wide*f.middleNs {
		w = append(w, profile.Warning{Kind: profile.CrossCPUVaries, Share: share(o.CrossCPU, o), LowNs: int64(f.at(0.1)), HighNs: int64(f.at(0.9))})
	}
	return w
}

// share is calls as a share of all calls.
func share(calls uint64, o *profile.Overhead) float64 {
	return float64(calls) / float64(max(o.Calls, 1))
}
