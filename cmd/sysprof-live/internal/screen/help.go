package screen

// helpLines is the screen that ? shows.
func (s *Screen) helpLines() []string {
	quit := "q            end the tracing and print the table; what was traced goes on"
	if s.begin.Command {
		quit = "q            end the tracing and print the table; the command goes on to its end"
	}
	lines := []string{
		headline.paint(left(" sysprof --live", s.width)),
		"↑ ↓ k j      select a row (also PgUp, PgDn, Home, End)",
		"enter        open it: its distribution, errnos, who made the calls, the slowest",
		"s S          sort by the next, or the previous, of time, rate, errors, p50,",
		"             p99, max (in the place of p50), name",
		"r            turn the order around",
		"w W          figures of the last second, 10 s, minute, or the whole run",
		"g b          tell calls apart by the next, or the previous, field of --by",
		"/            type what names have to contain; esc shows all again",
		"space        pause what is shown; counting goes on",
		"^L           draw everything anew",
		quit,
		"^C ^Z        as without --live",
		"",
		"% time is the share of the time of all calls, p50 and p99 are latencies that",
		"half, and 99 %, of the calls do not exceed, less than 4 % off. The drawing is",
		"calls a second during the last minute, each row by its own most.",
		"Times marked ≤ would be less without tracing.",
	}
	if s.height < len(lines)+1 {
		lines = lines[:s.height-1]
	}
	for len(lines) < s.height-1 {
		lines = append(lines, "")
	}
	return append(lines, faint.paint("any key goes back"))
}
