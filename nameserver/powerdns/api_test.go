package powerdns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/zone"
)

const (
	apiKey = "a-secret-key"
	listOf = `[{"name":"a.test.","kind":"Slave","masters":["192.0.2.1"],"serial":4294967295,"catalog":"","id":"a.test."},` +
		`{"name":"never.test.","kind":"Slave","masters":["[2001:db8::1]:5300"],"serial":0,"more":{"x":[1]}},` +
		`{"name":"own.test.","kind":"Native","masters":[],"serial":7},{"name":"cat.test.","kind":"Producer","serial":1},` +
		`{"name":"member.test.","kind":"Slave","serial":1,"catalog":"cat.test."}]`
)

// open makes a driver of an API that is this handler.
func open(t *testing.T, handler http.HandlerFunc) *driver {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	d, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: s.URL}, Credential: secret.New([]byte(apiKey))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*driver)
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func inventory(ctx context.Context, d *driver) (list []nameserver.ZoneState, err error) {
	err = d.Inventory(ctx, func(s nameserver.ZoneState) error { list = append(list, s); return nil })
	return list, err
}

func TestTheListIsRead(t *testing.T) {
	t.Parallel()
	list, err := inventory(t.Context(), open(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != apiKey || r.URL.Path != "/api/v1/servers/localhost/zones" || r.URL.RawQuery != "dnssec=false" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, listOf)
	}))
	if err != nil || len(list) != 5 {
		t.Fatal(list, err)
	}
	if s := list[0]; *s.Serial != 1<<32-1 || s.Role != nameserver.Secondary || s.Origin != nameserver.Unsure || s.Known || s.Expired {
		t.Errorf("%+v", s)
	}
	if s := list[1]; s.Serial != nil || !s.Expired {
		t.Errorf("%+v", s)
	}
	if list[2].Role != nameserver.Primary || list[3].Role != nameserver.Other || list[4].Origin != nameserver.Cataloged {
		t.Errorf("%+v", list[2:])
	}
}

func TestAListThatIsNotWholeIsAnErrorAndNeverAnEmptyOne(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"status 500":    {says(500, `{"error":"database is locked"}`), nameserver.ErrRefused},
		"status 404":    {says(404, "Not Found"), nameserver.ErrAnswer},
		"status 204":    {says(204, ""), nameserver.ErrAnswer},
		"status 201":    {says(201, "[]"), nameserver.ErrAnswer},
		"status 502":    {says(502, "<html>"), nameserver.ErrAnswer},
		"status 401":    {says(401, "Unauthorized"), nameserver.ErrAuth},
		"status 403":    {says(403, ""), nameserver.ErrAuth},
		"HTML":          {says(200, "<html>It works!</html>"), nameserver.ErrAnswer},
		"nothing":       {says(200, ""), nameserver.ErrAnswer},
		"an object":     {says(200, "{}"), nameserver.ErrAnswer},
		"null":          {says(200, "null"), nameserver.ErrAnswer},
		"an empty zone": {says(200, "[{}]"), nameserver.ErrAnswer},
		"no kind":       {says(200, `[{"name":"a.test.","serial":1}]`), nameserver.ErrAnswer},
		"no serial":     {says(200, `[{"name":"a.test.","kind":"Slave"}]`), nameserver.ErrAnswer},
		"no name":       {says(200, `[{"name":"","kind":"Slave","serial":1}]`), nameserver.ErrAnswer},
		"a bad name":    {says(200, `[{"name":"a..test.","kind":"Slave","serial":1}]`), nameserver.ErrAnswer},
		"a huge serial": {says(200, `[{"name":"a.test.","kind":"Slave","serial":4294967296}]`), nameserver.ErrAnswer},
		"more after it": {says(200, listOf+"<html>"), nameserver.ErrAnswer},
		"a huge value":  {says(200, `[{"name":"`+strings.Repeat("a", 33<<20)+`"}]`), nameserver.ErrAnswer},
		"a redirection": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", 302) }, nameserver.ErrAnswer},
		"500 in the middle": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, listOf[:150])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nameserver.ErrAnswer},
		"hangs in the middle": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, listOf[:150])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nameserver.ErrAnswer},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nameserver.ErrUnreachable},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			list, err := inventory(ctx, open(t, c.handler))
			if !errors.Is(err, c.want) {
				t.Errorf("%d zones, %v; want %v", len(list), err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), apiKey) || len(err.Error()) > 600) {
				t.Errorf("the error says too much: %v", err)
			}
		})
	}
	for i := range len(listOf) {
		if _, err := inventory(t.Context(), open(t, says(200, listOf[:i]))); !errors.Is(err, nameserver.ErrAnswer) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestOnlyAnAPIThatSaysSoMakesAZoneAbsent(t *testing.T) {
	t.Parallel()
	name := zone.MustParseName("a.test.")
	for what, c := range map[string]struct {
		list http.HandlerFunc
		want error
	}{
		"an empty list":  {says(200, "[]"), nameserver.ErrNoZone},
		"404 everywhere": {says(404, "Not Found"), nameserver.ErrAnswer},
		"HTML":           {says(200, "<html>"), nameserver.ErrAnswer},
		"500":            {says(500, ""), nameserver.ErrRefused},
		"the zone":       {says(200, `[{"name":"a.test.","kind":"Slave","serial":1}]`), nameserver.ErrAnswer},
		"another zone":   {says(200, `[{"name":"b.test.","kind":"Slave","serial":1}]`), nameserver.ErrAnswer},
	} {
		d := open(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("zone") {
				c.list(w, r)
				return
			}
			w.WriteHeader(http.StatusNotFound)
		})
		for op, call := range map[string]func() error{
			"zone":       func() error { _, err := d.Zone(t.Context(), name); return err },
			"delete":     func() error { return d.Delete(t.Context(), name) },
			"retransfer": func() error { return d.Retransfer(t.Context(), name) },
			"export":     func() error { _, err := d.Export(t.Context(), name); return err },
		} {
			if err := call(); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", what, op, err, c.want)
			}
		}
	}
}

func TestADeletionThatDidNothingIsAnError(t *testing.T) {
	t.Parallel()
	d := open(t, func(w http.ResponseWriter, r *http.Request) {
		const z = `{"name":"a.test.","kind":"Slave","serial":1}`
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(r.URL.Path, "/zones"):
			_, _ = io.WriteString(w, "["+z+"]")
		case strings.HasSuffix(r.URL.Path, "/cryptokeys"):
			_, _ = io.WriteString(w, "[]")
		default:
			_, _ = io.WriteString(w, z)
		}
	})
	if err := d.Delete(t.Context(), zone.MustParseName("a.test.")); !errors.Is(err, nameserver.ErrRefused) {
		t.Error(err)
	}
}

func TestADeletionThatIsGivenUpIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for fails, want := range map[int]error{dropTries - 1: nil, dropTries: nameserver.ErrRefused} {
		t.Run(fmt.Sprintf("%d times", fails), func(t *testing.T) {
			t.Parallel()
			tries := 0
			d := open(t, func(w http.ResponseWriter, r *http.Request) {
				const z = `{"name":"a.test.","kind":"Slave","serial":1}`
				switch {
				case r.Method == http.MethodDelete && tries < fails:
					tries++
					says(http.StatusInternalServerError, "Internal Server Error")(w, r)
				case r.Method == http.MethodDelete:
					w.WriteHeader(http.StatusNoContent)
				case strings.HasSuffix(r.URL.Path, "/zones"), strings.HasSuffix(r.URL.Path, "/cryptokeys"):
					_, _ = io.WriteString(w, "[]")
				default:
					_, _ = io.WriteString(w, z)
				}
			})
			if err := d.Delete(t.Context(), zone.MustParseName("a.test.")); !errors.Is(err, want) || tries != fails {
				t.Errorf("%d tries: %v, want %v", tries, err, want)
			}
		})
	}
}

func TestAnotherPowerDNSIsNotTakenForAnAuthority(t *testing.T) {
	t.Parallel()
	for what, body := range map[string]string{"a recursor": `{"daemon_type":"recursor","version":"4.8"}`, "something else": `{}`, "HTML": "<html>"} {
		if info, err := open(t, says(200, body)).Info(t.Context()); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%s: %+v, %v", what, info, err)
		}
	}
	if _, err := open(t, says(404, "Not Found")).Info(t.Context()); !errors.Is(err, nameserver.ErrAnswer) {
		t.Error(err)
	}
}

func TestAKeyOfTheSameNameWithAnotherSecretIsNotReplaced(t *testing.T) {
	t.Parallel()
	writes := 0
	d := open(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			writes++
		}
		_, _ = fmt.Fprint(w, `{"name":"pool","algorithm":"hmac-sha256","key":"c29tZWJvZHkgZWxzZQ=="}`)
	})
	d.key = func(context.Context, zone.Name) (nameserver.KeyConfig, error) {
		return nameserver.KeyConfig{Name: zone.MustParseName("pool."), Algorithm: zone.MustParseName("hmac-sha256."), Secret: secret.New([]byte("ours"))}, nil
	}
	err := d.Add(t.Context(), nameserver.ZoneConfig{Name: zone.MustParseName("a.test."), Primaries: []nameserver.PrimaryRef{
		{Addr: netip.MustParseAddrPort("192.0.2.1:53"), Key: zone.MustParseName("pool.")}}})
	if !errors.Is(err, nameserver.ErrRefused) || writes != 0 || strings.Contains(err.Error(), "b3Vycw") {
		t.Errorf("%d writes, %v", writes, err)
	}
}

func TestWhatNoTransferCarriesIsKeptInTheSettings(t *testing.T) {
	t.Parallel()
	const z = `{"name":"a.test.","kind":"Native","serial":7,"account":"x","soa_edit_api":"DEFAULT","masters":[],"rrsets":[
 {"name":"a.test.","type":"SOA","ttl":60,"records":[{"content":"ns.a.test. h.a.test. 7 1 2 3 4","disabled":false}],"comments":[]},
 {"name":"a.test.","type":"A","ttl":60,"records":[{"content":"192.0.2.1","disabled":false},{"content":"192.0.2.2","disabled":true}],"comments":[]},
 {"name":"b.a.test.","type":"A","ttl":60,"records":[{"content":"192.0.2.3","disabled":false}],"comments":[{"content":"why","account":"me","modified_at":5}]},
 {"name":"c.a.test.","type":"ALIAS","ttl":60,"records":[{"content":"www.example.","disabled":false}],"comments":[]},
 {"name":"d.a.test.","type":"LUA","ttl":60,"records":[{"content":"A \"ifportup()\"","disabled":false}],"comments":[]}]}`
	var given []string
	d := open(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet:
			b, _ := io.ReadAll(r.Body)
			given = append(given, r.Method+" "+strings.TrimPrefix(r.URL.Path, apiPath+"/zones/a.test.")+" "+string(b))
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(r.URL.Path, "/cryptokeys"):
			_, _ = io.WriteString(w, "[]")
		case strings.HasSuffix(r.URL.Path, "/metadata"):
			_, _ = io.WriteString(w, `[{"kind":"ALSO-NOTIFY","metadata":["192.0.2.9"]},{"kind":"SOA-EDIT-API","metadata":["DEFAULT"]}]`)
		default:
			_, _ = io.WriteString(w, z)
		}
	})
	e, err := d.Export(t.Context(), zone.MustParseName("a.test."))
	if err != nil || e.Content.Records() != 3 {
		t.Fatal(e.Content, err)
	}
	var s settings
	if err := json.Unmarshal([]byte(e.Settings), &s); err != nil || len(s.RRsets) != 4 || len(s.Metadata) != 1 || s.Account != "x" {
		t.Fatalf("%s, %v", e.Settings, err)
	}
	if err := d.give(t.Context(), zone.MustParseName("a.test."), s); err != nil || len(given) != 3 {
		t.Fatal(given, err)
	}
	if !strings.HasPrefix(given[0], "PATCH ") || !strings.Contains(given[0], "192.0.2.2") || !strings.Contains(given[0], `"why"`) || !strings.Contains(given[0], "ifportup") ||
		strings.Contains(given[0], "SOA") || !strings.Contains(given[1], "ALSO-NOTIFY") || !strings.Contains(given[2], `"kind":"Native"`) || strings.Contains(given[2], "rrsets") {
		t.Errorf("%q", given)
	}
}

func FuzzList(f *testing.F) {
	f.Add(listOf)
	f.Fuzz(func(_ *testing.T, text string) {
		var z details
		if json.Unmarshal([]byte(text), &z) == nil {
			_, _ = stateOf(z.listed)
			_, _, _ = z.primaries()
		}
		var r rrset
		if json.Unmarshal([]byte(text), &r) == nil {
			_ = r.addTo(zone.NewBuilder(zone.MustParseName("a.test."), 1), &settings{})
		}
	})
}
