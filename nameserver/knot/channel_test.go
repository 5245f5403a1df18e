package knot

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// open makes a driver of a server whose answer to each request is answers of it; one
// of nil ends the connection, and with silence there is none.
func open(t *testing.T, answers func(request []unit) []byte) *driver {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { serve(conn, answers) })
		}
	})
	d, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: "unix:" + path}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(); _ = l.Close(); group.Wait() })
	return d.(*driver)
}

// silence is an answer that does not come while the other end waits.
var silence = []byte{}

func serve(conn net.Conn, answers func(request []unit) []byte) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var request []unit
		for {
			kind, u, err := readUnit(in)
			if err != nil || kind == kindEnd {
				return
			}
			if kind == kindBlock {
				break
			}
			request = append(request, u)
		}
		b := answers(request)
		if b == nil {
			return
		}
		for i := 1; i < len(request) && len(b) > 0; i++ { // each command of a request is answered
			if request[i][itemCommand] != request[i-1][itemCommand] {
				b = append(b, kindBlock)
			}
		}
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// everything calls all that a driver does.
func everything(ctx context.Context, d *driver) map[string]error {
	errs := map[string]error{}
	n := zone.MustParseName("a.test.")
	z := nameserver.ZoneConfig{Name: n, Primaries: []nameserver.PrimaryRef{{Addr: addr("192.0.2.1:53")}}}
	_, errs["info"] = d.Info(ctx)
	errs["inventory"] = d.Inventory(ctx, func(nameserver.ZoneState) error { return nil })
	_, errs["zone"] = d.Zone(ctx, n)
	errs["add"] = d.Add(ctx, z)
	errs["change"] = d.Change(ctx, z)
	errs["delete"] = d.Delete(ctx, n)
	errs["retransfer"] = d.Retransfer(ctx, n)
	_, errs["export"] = d.Export(ctx, n)
	errs["convert"] = d.Convert(ctx, n, `{"name":"a.test.","role":"secondary"}`)
	_, errs["key"] = d.HoldKey(ctx, n)
	return errs
}

func TestAServerThatLiesOrDiesIsAnErrorAndNeverAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	whole := answer(unit{itemZone: "a.test.", itemType: "role", itemData: "slave"})
	for what, c := range map[string]struct {
		says   []byte
		always bool // to every request; otherwise the first is the last
		want   error
	}{
		"it closes the connection":   {nil, false, nameserver.ErrAnswer},
		"half an answer":             {whole[:len(whole)-4], false, nameserver.ErrAnswer},
		"no end of the answer":       {whole[:len(whole)-1], false, nameserver.ErrAnswer},
		"the end of everything":      {[]byte{kindEnd}, false, nameserver.ErrAnswer},
		"another protocol":           {[]byte("HTTP/1.1 400 Bad Request\r\n"), false, nameserver.ErrAnswer},
		"an error that nobody knows": {answer(unit{itemError: "the moon is full"}), true, nameserver.ErrRefused},
		"an error of another zone":   {answer(unit{itemError: "not enough memory", itemZone: "b.test."}), true, nameserver.ErrRefused},
	} {
		var answered atomic.Bool
		d := open(t, func([]unit) []byte {
			if answered.Swap(true) && !c.always {
				return nil
			}
			return c.says
		})
		d.busyFor = 0
		for call, err := range everything(t.Context(), d) {
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %s: %v", what, call, err)
			}
		}
	}
}

// A server that answers as if something else had been asked.
func TestAnswersToAnotherQuestionAreRefused(t *testing.T) {
	t.Parallel()
	d := open(t, func([]unit) []byte {
		return answer(unit{itemZone: "b.test.", itemType: "role", itemData: "slave"}, unit{itemZone: "b.test.", itemType: "serial", itemData: "7"})
	})
	errs := everything(t.Context(), d)
	for _, call := range []string{"zone", "change", "delete", "export", "convert"} {
		if !errors.Is(errs[call], nameserver.ErrAnswer) {
			t.Errorf("%s: %v", call, errs[call])
		}
	}
	if errs["add"] == nil {
		t.Error("a zone was added")
	}
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	d := open(t, func([]unit) []byte { return silence })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for call, err := range everything(ctx, d) {
		if !errors.Is(err, nameserver.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", call, err)
		}
	}
	c, err := connect(t.Context(), d.to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.wait = 20 * time.Millisecond
	if _, err := c.one(t.Context(), command("status")); !errors.Is(err, nameserver.ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Error(err)
	}
	if _, err := c.one(t.Context(), command("status")); !errors.Is(err, nameserver.ErrUnreachable) {
		t.Error("a broken channel is used again:", err)
	}
}

// knotd 3.4 answers a command that others have kept waiting for too long with nothing,
// as one that was carried out.
func TestSilenceAfterALongWaitIsNoAnswer(t *testing.T) {
	t.Parallel()
	d := open(t, func([]unit) []byte {
		<-time.After(lockTime) // what knotd does
		return []byte{kindBlock}
	})
	err := d.Inventory(t.Context(), func(nameserver.ZoneState) error { return nil })
	if !errors.Is(err, nameserver.ErrUnreachable) {
		t.Error(err)
	}
	for name, want := range map[string]bool{"zone-status": true, "conf-set": true, "conf-begin": true, "zone-purge": false, "conf-commit": false} {
		if request := []unit{command(name)}; mute(request, lockTime) != want || mute(request, lockTime/2) {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestASocketThatIsNotThereOrClosedToUs(t *testing.T) {
	t.Parallel()
	d := &driver{to: socket(filepath.Join(t.TempDir(), "none"))}
	_, err := d.Info(t.Context())
	if _, hint := report.ExitOf(err); !errors.Is(err, nameserver.ErrUnreachable) || hint == "" {
		t.Error(err)
	}
	err = mayOpen(&net.OpError{Op: "dial", Err: syscall.EACCES})
	if _, hint := report.ExitOf(err); !errors.Is(err, nameserver.ErrAuth) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(hint, "group") {
		t.Error(err)
	}
}

// A request that is longer than all buffers between the two is answered while it is
// still being written.
func TestRequestsAreReadAndWrittenAtATime(t *testing.T) {
	t.Parallel()
	long := unit{itemZone: strings.Repeat("x", 60000), itemType: "role", itemData: "slave"}
	d := open(t, func([]unit) []byte { return answer(long) })
	const requests = 300
	n := 0
	err := d.with(t.Context(), func(c *channel) error {
		return c.ask(t.Context(), requests, just(unit{itemCommand: "zone-status", itemZone: long[itemZone]}), func(i int, u unit) error {
			if i != n || u != long {
				t.Errorf("%d: %d", n, i)
			}
			n++
			return nil
		})
	})
	if err != nil || n != requests {
		t.Error(n, err)
	}
}
