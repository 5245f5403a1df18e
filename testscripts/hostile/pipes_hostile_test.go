package hostile_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// unheard runs a command whose output nobody reads any more.
func (r *rig) unheard(args ...string) result {
	r.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		r.Fatal(err)
	}
	defer write.Close()
	_ = read.Close()
	c := r.command(args...)
	var errs bytes.Buffer
	c.Stdout, c.Stderr = write, &errs
	_ = c.Run() // its exit code says it
	return result{code: c.ProcessState.ExitCode(), stderr: errs.String()}
}

func TestReadersThatGoAwayAreSilentAndTheResultKeepsItsCode(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:1")
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "host%d A 192.0.2.1\n", i)
	}
	r.write("many.zone", text.String())
	r.write("bad.zone", "$TTL 300\n")
	r.ok("zone", "import", "--zone", "many.example", "many.zone")
	r.ok("server", "add", "ns1", "--new", "--type", "bind", "--address", "127.0.0.1:1", "--control", "rndc://127.0.0.1:1", "--stats", "http://127.0.0.1:1")
	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"zone", "list"}}, {0, []string{"zone", "list", "-o", "json"}}, {0, []string{"zone", "export", "many.example"}},
		{0, []string{"record", "list", "many.example", "-o", "csv"}}, {0, []string{"record", "list", "many.example", "-o", "yaml"}}, {0, []string{"db", "status", "-o", "yaml"}}, {0, []string{"zone", "import", "--zone", "many.example", "many.zone", "-q"}},
		{0, []string{"config", "show"}}, {0, []string{"help", "exit-codes"}}, {0, []string{"db", "status"}},
		{1, []string{"zone", "import", "bad.zone", "-q"}}, {1, []string{"zone", "check", "bad.zone", "-q"}},
		{4, []string{"zone", "check", "--zone", "many.example", "many.zone", "bad.zone", "-q"}},
		{1, []string{"audit"}}, {1, []string{"sync", "--yes"}},
	} {
		res := r.unheard(c.args...)
		if res.code != c.code {
			t.Errorf("%v: want exit %d, have %v", c.args, c.code, res)
		}
		if strings.Contains(res.stderr, "pipe") || c.code == 0 && res.stderr != "" {
			t.Errorf("%v is not silent: %v", c.args, res)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"zone", "list"}, {"zone", "export", "many.example"}, {"audit"}} {
		c := r.command(args...)
		var errs bytes.Buffer
		c.Stdout, c.Stderr = full, &errs
		_ = c.Run() // its exit code says it
		result{code: c.ProcessState.ExitCode(), stderr: errs.String()}.check(t, 1, []string{`^dnsctl: error: .*no space left on device$`}, args...)
	}
}
