// Command profiled is dnsctl with a way to take its processor profile: bench
// measures with it what the processor time of mdns is spent on. GET /start on the
// address that BENCH_PROFILE names begins one, GET /stop ends it and
// answers with it, in the format of `go tool pprof`; GET /heap answers with what is
// in memory.
package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"dnsctl/commands"
)

// variable names the address.
const variable = "BENCH_PROFILE"

func main() {
	if addr := os.Getenv(variable); addr != "" {
		if err := listen(addr); err != nil {
			_, _ = os.Stderr.WriteString("profiled: " + err.Error() + "\n")
			os.Exit(1)
		}
	}
	os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

func listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var taken bytes.Buffer // written between start and stop, which bench asks for one after the other
	mux := http.NewServeMux()
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, _ *http.Request) {
		taken.Reset()
		if err := pprof.StartCPUProfile(&taken); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("GET /stop", func(w http.ResponseWriter, _ *http.Request) {
		pprof.StopCPUProfile()
		_, _ = w.Write(taken.Bytes())
	})
	mux.HandleFunc("GET /heap", func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		_ = pprof.Lookup("heap").WriteTo(w, 0)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	return nil
}
