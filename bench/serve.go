package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// serveHelper is a web server on a port of the loopback interface. The goroutine of a request waits for
// another goroutine, as it would for a database. The server runs until a signal ends it.
func serveHelper(args []string, _ io.Reader, _, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, "bench: serve: want a port")
		return statusUsage
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", args[0]))
	if err != nil {
		fmt.Fprintf(stderr, "bench: serve: %v\n", err)
		return statusFailure
	}
	page := strings.Repeat("0123456789", 100)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := make(chan string)
		go func() { answer <- page }()
		io.WriteString(w, <-answer)
	})}
	fmt.Fprintf(stderr, "bench: serve: %v\n", server.Serve(listener))
	return statusFailure
}
