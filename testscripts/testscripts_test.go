// Package testscripts_test runs the real binary, end to end, against real
// servers: txtar scripts, one folder per command.
package testscripts_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dnsctl/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(runner{m}, map[string]func(){
		"dnsctl": func() { os.Exit(runChecked()) },
	})
}

// runner ends the servers that the scripts shared.
type runner struct{ m *testing.M }

func (r runner) Run() int {
	// The scripts wait for others far more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	return testbed.Main(r.m)
}

// onBoth are the folders whose scripts run on PostgreSQL as well.
var onBoth = []string{"pool", "zone", "record", "tsig", "server", "mdns", "bootstrap", "sync", "drain", "quarantine", "dbpg", "output", "examples", "fleet"}

// newer is set where the nameservers are not those of Debian 12 (make test-newer): then
// what only newer ones can is tried as well, in the folder newer.
const newer = "DNSCTL_TEST_NEWER"

func TestScripts(t *testing.T) {
	folders, err := filepath.Glob("*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := range folders {
		folders[i] = filepath.Dir(folders[i])
	}
	folders = slices.Compact(folders)
	if os.Getenv(newer) == "" {
		folders = slices.DeleteFunc(folders, func(dir string) bool { return dir == "newer" })
	}
	if len(folders) == 0 {
		t.Fatal("there are no scripts")
	}
	for _, dir := range folders {
		kinds := []string{"sqlite"}
		if slices.Contains(onBoth, dir) {
			kinds = append(kinds, "postgres")
		}
		for _, kind := range kinds {
			t.Run(dir+"/"+kind, func(t *testing.T) {
				t.Parallel()
				testscript.Run(t, params(t, dir, kind))
			})
		}
	}
}

// params sets a script up: an own home, an own database, nothing of the
// machine's configuration.
func params(t *testing.T, dir, kind string) testscript.Params {
	var server *testbed.Postgres
	if kind == "postgres" {
		server = testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("DNSCTL_UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			url := "sqlite:" + filepath.Join(env.WorkDir, "dnsctl.db")
			if server != nil {
				url = server.NewDatabase(setupT{t, env})
			}
			// No XDG_* and no other DNSCTL_*: the environment starts empty.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DNSCTL_STORE", url)
			env.Setenv("GORACE", testbed.GORACE)
			env.Setenv("DNSCTL_SECRET_IDENTITY_FILE", filepath.Join(env.WorkDir, "identity.age"))
			faults := filepath.Join(t.TempDir(), "schema-faults")
			env.Setenv(schemaFile, filepath.Join(root, "docs", "schema", "dnsctl-v1.json"))
			env.Setenv(schemaFaults, faults)
			env.Defer(func() {
				if text, err := os.ReadFile(faults); err == nil {
					t.Errorf("what was printed is not what docs/schema says:\n%s", text)
				}
			})
			env.Setenv("SAMPLE", filepath.Join(root, "testdata", "sample"))
			env.Setenv("SHARED", filepath.Join(root, "..", "shared", "data"))
			if dir := os.Getenv("GOCOVERDIR"); dir != "" {
				env.Setenv("GOCOVERDIR", dir)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) { return condition(cond, kind, root) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"addr":         cmdAddr,
			"certificates": cmdCertificates,
			"example":      cmdExample,
			"named":        cmdNamed,
			"knot":         cmdKnot,
			"nsd":          cmdNSD,
			"powerdns":     cmdPowerDNS,
			"sshd":         cmdSSHD,
			"api":          cmdAPI,
			"wait-for":     cmdWaitFor,
			"get":          cmdGet,
			"wait-get":     cmdWaitGet,
			"lines":        cmdLines,
			"mode":         cmdMode,
		},
	}
}

// condition answers [sqlite], [postgres] and [shared-data]. In CI the shared
// data must be there.
func condition(cond, kind, root string) (bool, error) {
	switch cond {
	case "sqlite", "postgres":
		return cond == kind, nil
	case "shared-data":
		_, err := os.Stat(filepath.Join(root, "..", "shared", "data", "operator"))
		if err != nil && os.Getenv("CI") == "true" {
			return false, fmt.Errorf("the shared data is not there: %w", err)
		}
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// setupT is a testbed.T whose clean-ups run at the end of the script.
type setupT struct {
	testing.TB
	env *testscript.Env
}

func (s setupT) Cleanup(f func()) { s.env.Defer(f) }

// scriptT is a running script as a testbed.T.
type scriptT struct{ ts *testscript.TestScript }

var _ testbed.T = scriptT{}

func (scriptT) Helper()                          {}
func (s scriptT) Cleanup(f func())               { s.ts.Defer(f) }
func (scriptT) Failed() bool                     { return true } // the log is shown with the script's own
func (s scriptT) Logf(format string, a ...any)   { s.ts.Logf(format, a...) }
func (s scriptT) Fatalf(format string, a ...any) { s.ts.Fatalf(format, a...) }

func (s scriptT) TempDir() string {
	dir, err := os.MkdirTemp(s.ts.Getenv("WORK"), "bed-")
	s.ts.Check(err)
	return dir
}

// splitFlags takes leading -name=value arguments off.
func splitFlags(ts *testscript.TestScript, args []string) (flags map[string]string, rest []string) {
	flags = map[string]string{}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, value, ok := strings.Cut(strings.TrimPrefix(args[0], "-"), "=")
		if !ok {
			ts.Fatalf("flag %s has no value", args[0])
		}
		flags[name] = value
		args = args[1:]
	}
	return flags, args
}
