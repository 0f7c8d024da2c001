package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"sysprof/report"
)

// serve serves pages on a free port of the loopback interface, says where, and ends with the context.
func serve(ctx context.Context, pages map[string]http.Handler, name string, stdout, stderr io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if listener, err = net.Listen("tcp", "[::1]:0"); err != nil {
			return fmt.Errorf("serve the profile: %w", err)
		}
	}
	secret := "/" + rand.Text()
	mux := http.NewServeMux()
	for path, page := range pages {
		mux.Handle("GET "+secret+path, http.StripPrefix(secret, page))
	}
	server := &http.Server{
		Handler: mux,
		// One page that fails does not end the others. What it says of itself goes over many lines.
		ErrorLog:          log.New(firstLine{stderr}, "", 0),
		ReadHeaderTimeout: time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	_, err = fmt.Fprintf(stdout, "http://%s%s/ shows %s until ^C\n", listener.Addr(), secret, report.Printable(name))
	if err != nil {
		listener.Close()
		return fmt.Errorf("say where the profile is served: %w", err)
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the profile: %w", err)
	}
	return nil
}

// firstLine says the first line of each message.
type firstLine struct{ stderr io.Writer }

func (f firstLine) Write(message []byte) (int, error) {
	line, _, _ := strings.Cut(string(message), "\n")
	say(f.stderr, line)
	return len(message), nil
}
