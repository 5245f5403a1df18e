package httpjson_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
)

// walk reads a document that is an array of objects with lists in them, in every
// way that there is.
func walk(d *httpjson.Decoder, seen func(string) error) error {
	err := d.Array(func() error {
		return d.Object(func(name string) error {
			switch name {
			case "list":
				return d.Array(func() error {
					var s string
					if err := d.Value(&s); err != nil {
						return err
					}
					return seen(s)
				})
			default:
				return d.Skip()
			}
		})
	})
	if err != nil {
		return err
	}
	return d.End()
}

const document = `[ {"list": ["a", "b"], "other": {"x": [1, {"y": null}]}}, {}, {"list": []}, {"list": ["c"]} ]
`

func TestADocumentIsReadWhole(t *testing.T) {
	t.Parallel()
	var got []string
	err := walk(httpjson.NewDecoder(strings.NewReader(document)), func(s string) error { got = append(got, s); return nil })
	if err != nil || strings.Join(got, "") != "abc" {
		t.Error(got, err)
	}
}

func TestADocumentThatIsCutAnywhereOrOfAnotherShapeIsAnError(t *testing.T) {
	t.Parallel()
	ignore := func(string) error { return nil }
	for i := range len(document) - 2 {
		if err := walk(httpjson.NewDecoder(strings.NewReader(document[:i])), ignore); !errors.Is(err, nameserver.ErrAnswer) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for _, text := range []string{"", "null", "{}", "[1]", `[{"list":{}}]`, `[{"list":[1]}]`, "<html>", document + "<html>", document + "[]", `[{"list":["` + strings.Repeat("a", 33<<20) + `"]}]`} {
		if err := walk(httpjson.NewDecoder(strings.NewReader(text)), ignore); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func TestTheReceiversErrorEndsTheReading(t *testing.T) {
	t.Parallel()
	stop := errors.New("enough")
	if err := walk(httpjson.NewDecoder(strings.NewReader(document)), func(string) error { return stop }); !errors.Is(err, stop) || errors.Is(err, nameserver.ErrAnswer) {
		t.Error(err)
	}
}

// get fetches / of a server.
func get(ctx context.Context, c *httpjson.Client, url string) (status int, err error) {
	err = c.Do(ctx, http.MethodGet, url, nil, func(s int, d *httpjson.Decoder) error {
		status = s
		return walk(d, func(string) error { return nil })
	})
	return status, err
}

func TestServersThatMisbehave(t *testing.T) {
	for what, c := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(w, document[:20])
		}, nameserver.ErrAnswer},
		"chunked and cut": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, document[:20])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nameserver.ErrAnswer},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nameserver.ErrUnreachable},
		"hangs later": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, document[:20])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nameserver.ErrAnswer},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(c.handler)
			t.Cleanup(s.Close)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			client := httpjson.NewClient(nil, nil)
			defer client.Close()
			if _, err := get(ctx, client, s.URL); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestTheServerIsAskedDirectlyAndOnlyThere(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	conns := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conns[r.RemoteAddr] = true
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		if r.Header.Get("X-Key") != "k" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, document)
	}))
	defer s.Close()
	client := httpjson.NewClient(http.Header{"X-Key": []string{"k"}}, nil)
	defer client.Close()
	for range 3 {
		if status, err := get(t.Context(), client, s.URL); status != http.StatusOK || err != nil {
			t.Error(status, err)
		}
	}
	if len(conns) != 1 {
		t.Errorf("%d connections", len(conns))
	}
	if status, _ := get(t.Context(), client, s.URL+"/away"); status != http.StatusFound {
		t.Errorf("status %d", status)
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(document)
	f.Fuzz(func(_ *testing.T, text string) {
		_ = walk(httpjson.NewDecoder(strings.NewReader(text)), func(string) error { return nil })
	})
}
