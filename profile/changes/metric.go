package changes

import (
	"math"
	"time"

	"sysprof/profile"
)

// Metric is something that is compared.
type Metric uint8

// The metrics of a call. Times are in nanoseconds.
const (
	Total Metric = iota // the time of all of its calls
	Count               // how many there were
	P50                 // the median latency
	P99                 // its 99th percentile
	Mean                // its mean
	Rate                // how many there were a second

	Metrics = iota // how many there are
)

// metricNames are what String returns.
var metricNames = [Metrics]string{Total: "total", Count: "count", P50: "p50", P99: "p99", Mean: "mean", Rate: "rate"}

func (m Metric) String() string { return metricNames[m] }

// Named finds a metric by its name.
func Named(name string) (m Metric, ok bool) {
	for m, n := range metricNames {
		if n == name {
			return Metric(m), true
		}
	}
	return 0, false
}

// Names lists the metrics.
func Names() []string { return append([]string(nil), metricNames[:]...) }

// figure is one metric of one call in one run, with the least and the most that it may be. It is NaN where there is none, as
// for the median of no calls.
type figure struct{ value, lo, hi float64 }

var none = figure{math.NaN(), math.NaN(), math.NaN()}

// How far a figure of one run may be off.
const (
	// sigmas is how many standard deviations an interval has on each side. Each comparison makes hundreds: with four, 1,000
	// of them are all right 19 times in 20.
	sigmas = 4

	// A latency is good to about 0.2 µs or 5 %, whichever is more (OVERHEAD in the manual page), or to what is uncertain in the
	// transit that was taken off it, where that is more.
	latencyNs, latencyShare = 200, 0.05
)

// run is what a figure needs to know of the run that it is of.
type run struct {
	duration time.Duration // 0: unknown
	// shortest and longest are how long it may have taken, ÷ how long it took. Without other programs and without tracing, it
	// would have taken another time; how uncertain that is, is said after each run.
	shortest, longest float64
	// uncertainNs is by how much each latency may be off, if latencyShare of it is not more.
	uncertainNs float64
}

// runOf is what is known of a run.
func runOf(s *profile.Snapshot, duration time.Duration) run {
	r := run{duration, 1, 1, latencyNs}
	o := s.Overhead
	if o == nil {
		return r
	}
	if ns := float64(o.UntracedNs.Ns); ns > 0 {
		r.shortest, r.longest = float64(o.UntracedNs.LowNs)/ns, float64(o.UntracedNs.HighNs)/ns
	}
	r.uncertainNs = max(r.uncertainNs, (float64(o.TransitNs.HighNs)-float64(o.TransitNs.LowNs))/2)
	return r
}

// figuresOf are all metrics of the calls of one run.
func (r *run) figuresOf(h *profile.Histogram) (f [Metrics]figure) {
	n := float64(h.Count())
	spread := sigmas * math.Sqrt(n) // of a count of what comes by chance
	count := figure{n, max(n-spread, 0), n + spread}
	if n == 0 { // none came, where some might have
		f = [Metrics]figure{Total: {0, 0, 0}, Count: {0, 0, sigmas * sigmas}, P50: none, P99: none, Mean: none}
	} else {
		sum, mean, deviation := sumOf(h), sumOf(h)/n, float64(h.StdDev())
		// The sum varies by how long calls take and by how many there are.
		sumSpread := spread * math.Hypot(deviation, mean)
		total := figure{sum, max(sum-sumSpread, 0), sum + sumSpread}
		meanSpread := sigmas * deviation / math.Sqrt(n)
		if h.Count() < fewest {
			meanSpread = math.Inf(1)
		}
		f = [Metrics]figure{
			Total: total.uncertain(r.uncertainNs * n),
			Count: count,
			P50:   quantile(h, 0.5).uncertain(r.uncertainNs),
			P99:   quantile(h, 0.99).uncertain(r.uncertainNs),
			Mean:  (figure{mean, max(mean-meanSpread, 0), mean + meanSpread}).uncertain(r.uncertainNs),
		}
	}
	f[Rate] = none
	if s := r.duration.Seconds(); s > 0 {
		f[Rate] = figure{count.value / s, count.lo / s / r.longest, count.hi / s / max(r.shortest, 1e-9)}
	}
	return f
}

// fewest is how many calls it takes to know how their latencies vary.
const fewest = 20

// sumOf is the sum of all latencies.
func sumOf(h *profile.Histogram) float64 {
	hi, lo := h.Sum128()
	return float64(hi)*(1<<64) + float64(lo)
}

// quantile is a quantile with the interval between two others. Whatever the distribution is, the number of values below its
// quantile q is binomial. Where that may be all of them, the quantile may be anything above.
func quantile(h *profile.Histogram, q float64) figure {
	spread := sigmas * math.Sqrt(q*(1-q)/float64(h.Count()))
	f := figure{float64(h.Quantile(q)), 0, math.Inf(1)}
	if q-spread > 0 {
		f.lo = float64(h.Quantile(q - spread))
	}
	if q+spread < 1 {
		f.hi = float64(h.Quantile(q + spread))
	}
	return f
}

// uncertain widens the interval of a time by what is uncertain in latencies: leastNs, or a share.
func (f figure) uncertain(leastNs float64) figure {
	f.lo = max(f.lo-max(leastNs, latencyShare*f.lo), 0)
	f.hi += max(leastNs, latencyShare*f.hi)
	return f
}
