package bind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
	"dnsctl/testbed"
)

const sampleStats = `{"json-stats-version":"1.7","views":{
 "_default":{"zones":[
  {"name":"a.test","class":"IN","serial":4294967295,"type":"secondary","loaded":"2026-11-23T20:25:21Z","expires":"2026-11-23T20:25:21Z","new":{"x":[1,{}]}},
  {"name":"never.test","class":"IN","type":"secondary","loaded":"1970-01-01T00:00:00Z"}],"more":[[1],{"a":null}]},
 "_bind":{"zones":[{"name":"version.bind","class":"CH","serial":0,"type":"builtin"}]},
 "empty":{}},"trailer":{"deep":[[[]]]}}`

func collect(t *testing.T, text string) ([]string, []statsZone, error) {
	t.Helper()
	var zones []statsZone
	views, err := decodeStats(httpjson.NewDecoder(strings.NewReader(text)), func(_ string, z statsZone) error {
		zones = append(zones, z)
		return nil
	})
	return views, zones, err
}

func TestStatisticsAreReadAndUnknownFieldsIgnored(t *testing.T) {
	t.Parallel()
	views, zones, err := collect(t, sampleStats)
	if err != nil || fmt.Sprint(views) != "[_default _bind empty]" || len(zones) != 3 {
		t.Fatal(views, zones, err)
	}
	if *zones[0].Serial != 1<<32-1 || zones[1].Serial != nil || zones[2].Class != "CH" {
		t.Error(zones)
	}
}

func TestStatisticsCutAnywhereAreAnError(t *testing.T) {
	t.Parallel()
	for i := range len(sampleStats) {
		if _, _, err := collect(t, sampleStats[:i]); !errors.Is(err, nameserver.ErrAnswer) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestStatisticsOfAnotherShapeAreAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `[]`, `null`, `{"views":[]}`, `{"views":null}`, `{"views":{"v":[]}}`, `{"views":{"v":{"zones":{}}}}`,
		`{"views":{"v":{"zones":[1]}}}`, `{"views":{"v":{"zones":[{"name":"a","serial":-1}]}}}`, `{"views":{"v":{"zones":[{"serial":4294967296}]}}}`,
		`<html>`, `{"views":{"v":{"zones":[{"loaded":"yesterday"}]}}}`,
		sampleStats + "<html>",
	} {
		if _, _, err := collect(t, text); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func TestStatisticsServersThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"status 500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, nameserver.ErrAnswer},
		"status 404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, nameserver.ErrAnswer},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", 302) }, nameserver.ErrAnswer},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(w, sampleStats[:100])
		}, nameserver.ErrAnswer},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nameserver.ErrUnreachable},
		"hangs later": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, sampleStats[:100])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nameserver.ErrAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(c.handler)
			t.Cleanup(s.Close)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := readStats(ctx, s.URL, func(string, statsZone) error { return nil }); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	if _, err := readStats(t.Context(), "http://"+testbed.FreeAddr(t), func(string, statsZone) error { return nil }); !errors.Is(err, nameserver.ErrUnreachable) {
		t.Errorf("refuses: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := readStats(ctx, "http://"+l.Addr().String(), func(string, statsZone) error { return nil }); !errors.Is(err, nameserver.ErrUnreachable) {
		t.Errorf("accepts and hangs: %v", err)
	}
}

func TestTheReceiversErrorEndsTheReading(t *testing.T) {
	t.Parallel()
	stop := errors.New("enough")
	_, err := decodeStats(httpjson.NewDecoder(strings.NewReader(sampleStats)), func(string, statsZone) error { return stop })
	if !errors.Is(err, stop) || errors.Is(err, nameserver.ErrAnswer) {
		t.Error(err)
	}
}

func FuzzDecodeStats(f *testing.F) {
	f.Add(sampleStats)
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = decodeStats(httpjson.NewDecoder(strings.NewReader(text)), func(_ string, z statsZone) error {
			_, err := stateOf(z)
			return err
		})
	})
}
