package mdns

import (
	"io"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// page is what a path of the server's HTTP handler gives.
func page(t testing.TB, s *running, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

// counter is the value of a metric by its full text name; 0 when it is not there.
func counter(t testing.TB, s *running, name string) float64 {
	t.Helper()
	_, text := page(t, s, "/metrics")
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}
