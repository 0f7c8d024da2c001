package cost

import "sysprof/profile"

// warnings are what the reader has to know of the account and of the latencies.
func (l *losses) warnings(o *profile.Overhead, s *profile.Snapshot, run *Run) (w []profile.Warning) {
	const many, stolen = 0.05, 0.02
	if o.Source == profile.Calibrated && o.Known() == profile.About {
		if u := &o.UntracedNs; float64(max(u.HighNs-u.Ns, u.Ns-u.LowNs)) > 0.1*float64(u.Ns) {
			why := profile.UntracedByTracing
			if l.doubtNs > float64(o.TotalNs.HighNs-o.TotalNs.Ns)/2 {
				why = profile.UntracedByDoubt
			}
			w = append(w, profile.Warning{Kind: why})
		}
	}
	if busy := max(share(l.disturbed, o), l.busyControls/max(l.weighed, 1)); busy > many {
		w = append(w, profile.Warning{Kind: profile.CPUsBusy, Share: busy})
	}
	if run.Stolen > stolen {
		w = append(w, profile.Warning{Kind: profile.HostSteals, Share: run.Stolen})
	}
	var boundNs, allNs float64
	for i := range s.Rows {
		ns := float64(s.Rows[i].SumNs)
		allNs += ns
		if s.Rows[i].UpperBound {
			boundNs += ns
		}
	}
	if boundNs > many*allNs {
		w = append(w, profile.Warning{Kind: profile.ThreadsWait, Share: boundNs / allNs})
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
