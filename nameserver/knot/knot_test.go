package knot

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"dnsctl/fleet"
)

func addr(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func TestControlURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]endpoint{
		"":                                {socket: "/run/knot/knot.sock"},
		"unix:/a/b.sock":                  {socket: "/a/b.sock"},
		"unix:///a/b.sock":                {socket: "/a/b.sock"},
		"ssh://ns1.example.net/run/k":     {socket: "/run/k", host: "ns1.example.net"},
		"ssh://me@192.0.2.1:2222/run/k":   {socket: "/run/k", host: "192.0.2.1", user: "me", port: 2222},
		"ssh://me@[2001:db8::1]:22/run/k": {socket: "/run/k", host: "2001:db8::1", user: "me", port: 22},
	} {
		e, err := endpointOf(fleet.Server{Control: text})
		if err != nil || e != want {
			t.Errorf("%s: %+v, %v", text, e, err)
		}
	}
	for text, says := range map[string]string{
		"http://192.0.2.1:80":               `scheme "http"`,
		"/run/knot/knot.sock":               `scheme ""`,
		"unix:knot.sock":                    "absolute",
		"unix:/run/":                        "absolute",
		"unix://host/run/k":                 "no host in its URL",
		"unix:/" + strings.Repeat("a", 200): "at most 107",
		"ssh://host":                        "absolute",
		"ssh:///run/k":                      "host or user",
		"ssh://-oProxyCommand=x/k":          "host or user",
		"ssh://-l@host/k":                   "host or user",
		"ssh://a;b@host/k":                  "host or user",
		"ssh://me:hush@host/k":              "password",
		"ssh://host:0/k":                    "port",
		"ssh://host/a:b":                    "characters",
		"ssh://host/k?x=y":                  "more than",
		"unix:/a%0ab":                       "characters",
		"ssh://host/%zz":                    "not a URL",
	} {
		_, err := endpointOf(fleet.Server{Control: text})
		if !errors.Is(err, errEndpoint) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, s := range []fleet.Server{{View: "v"}, {Stats: "http://192.0.2.1:1"}} {
		if err := New().Check(s); !errors.Is(err, errEndpoint) {
			t.Error(err)
		}
	}
	if _, err := New().ReadCredential([]byte("x")); !errors.Is(err, errKeyFile) {
		t.Error(err)
	}
}

func TestTheConfigurationFileOfAKnotd(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"knotd -c /a.conf":              "/a.conf",
		"knotd -c/a.conf -d":            "/a.conf",
		"/usr/sbin/knotd --config=/a":   "/a",
		"knotd --config /a -s /x":       "/a",
		"knotd -C /var/lib/knot/confdb": "",
		"knotd -m 500 --confdb=/db":     "",
		"knotd -m 500 --confdb /db -d":  "",
	} {
		if got := configFileOf(strings.Fields(args)); got != want {
			t.Errorf("%s: %q", args, got)
		}
	}
}
