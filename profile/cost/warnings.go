package cost

import "sysprof/profile"

// warnings are what the reader has to know of the account and of the latencies.
func (l *losses) warnings(o *profile.Overhead) (w []profile.Warning) {
	const many = 0.05
	if o.Source == profile.Calibrated {
		if u := &o.UntracedNs; float64(max(u.HighNs-u.Ns, u.Ns-u.LowNs)) > 0.1*float64(u.Ns) {
			why := profile.UntracedByTracing
			if l.doubtNs > float64(o.TotalNs.HighNs-o.TotalNs.Ns)/2 {
				why = profile.UntracedByDoubt
			}
			w = append(w, profile.Warning{Kind: why})
		}
	}
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

// share is calls as a share of all calls.
func share(calls uint64, o *profile.Overhead) float64 {
	return float64(calls) / float64(max(o.Calls, 1))
}
