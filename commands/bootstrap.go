package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"dnsctl/bootstrap"
	"dnsctl/nameserver"
	"dnsctl/render"
	"dnsctl/report"
)

type bootstrapOptions struct {
	server   string
	out      string
	admin    []string
	database string
	wait     bool
	resume   bool
	from     string
	all      bool
	comment  string
}

func newBootstrapCmd(a *App) *cobra.Command {
	var o bootstrapOptions
	c := &cobra.Command{
		Use:   "bootstrap SERVER",
		Short: "Bring a nameserver from nothing to all its zones",
		Long: `With --out, writes the complete configuration of a server that was added with
--new into a folder, least-privilege and checked, with its credentials; it declares
no zone. Start the nameserver on it, then run bootstrap again without --out. Its
control and statistics channels answer the primaries of its pools and the host
itself; other hosts that dnsctl is run on are named with --admin. A nameserver that
can have its zones in PostgreSQL does so with --database; the password is not in the
URL: the README that is written says where it goes, and how the tables are made.

Without --out, adds all zones that the server should have and catches it up. It
follows the database while it does: zones that are deleted meanwhile are not waited
for, zones that are created join. With --wait it ends when every zone answers with
the right serial; those that do not are named, and the exit code is 7. Zones of a
higher priority come first, and small ones before large ones. dnsctl mdns serve must
be running.

It can be killed and run again at any time: what the nameserver has is not
transferred again. --resume goes on with the last run that did not end, waits if
that did, and reports what it has added as well.

With --from-server, the server takes the place of another one that is dead: it gets
that one's name, pools and keys, its zones and its history, and is that server from
then on; its own name is forgotten. It is added like any other first, and may be of
another type. A server that still answers is not replaced, and one that has zones
already replaces none. One that was drained stays so until dnsctl undrain.`,
		Example: `  dnsctl bootstrap ns1 --out ./ns1
  dnsctl bootstrap ns1 --out ./ns1 --admin 192.0.2.10 --admin 2001:db8::/64
  dnsctl bootstrap ns2 --out ./ns2 --database postgres://pdns@192.0.2.7/pdns
  dnsctl bootstrap ns1 --wait
  dnsctl bootstrap ns1 --resume
  dnsctl bootstrap ns9 --from-server ns1 --wait`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.server = args[0]
			for flag, given := range map[string]bool{"--admin": len(o.admin) > 0, "--database": o.database != ""} {
				if given && o.out == "" {
					return usagef(flag+" is written into the configuration that --out makes", "%s without --out", flag)
				}
			}
			if o.from != "" {
				if err := replaceServer(cmd.Context(), a, o); err != nil {
					return err
				}
				o.server = o.from
			}
			if o.out != "" {
				return runBootstrapOut(cmd.Context(), a, o)
			}
			return runBootstrap(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "write the server's configuration into this `folder`")
	f.BoolVar(&o.wait, "wait", false, "end when every zone answers with the right serial")
	f.BoolVar(&o.resume, "resume", false, "go on with the last run that did not end")
	f.BoolVar(&o.all, "all", false, "list zones in agreement and dnsctl's own as well")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	f.StringVar(&o.from, "from-server", "", "take the place of this dead `server`, under its name")
	f.StringSliceVar(&o.admin, "admin", nil, "with --out, a `network` that dnsctl is run on beside the primaries")
	f.StringVar(&o.database, "database", "", "with --out, the `URL` of a database for its zones, without a password, where it can have one")
	c.MarkFlagsMutuallyExclusive("out", "wait")
	c.MarkFlagsMutuallyExclusive("out", "resume")
	c.MarkFlagsMutuallyExclusive("admin", "wait")
	c.MarkFlagsMutuallyExclusive("database", "wait")
	return c
}

// replaceServer has the server take the place of a dead one.
func replaceServer(ctx context.Context, a *App, o bootstrapOptions) error {
	if _, err := a.server(ctx, o.from); err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	if err := w.bootstrap.Replace(ctx, w.store, o.server, o.from, a.meta(o.comment)); err != nil {
		return err
	}
	a.Out.Say("%s is %s from now on", o.server, o.from)
	return nil
}

func runBootstrap(ctx context.Context, a *App, o bootstrapOptions) error {
	if _, err := a.server(ctx, o.server); err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	progress := a.Out.Progress()
	opts := bootstrap.Options{Wait: o.wait, Resume: o.resume}
	opts.Meta, opts.Progress = a.meta(o.comment), progress.Update
	rep, err := w.bootstrap.Run(ctx, o.server, opts)
	progress.Done()
	return a.showReport(rep, o.all, err)
}

// written is one file of a configuration.
type written struct {
	path   string
	secret bool
}

var writtenColumns = render.List[written]{Columns: []render.Column[written]{
	{Name: "file", Value: func(w written) any { return w.path }},
	{Name: "secret", Value: func(w written) any { return w.secret }},
}}

func runBootstrapOut(ctx context.Context, a *App, o bootstrapOptions) error {
	if _, err := a.server(ctx, o.server); err != nil {
		return err
	}
	admin, err := parsePrefixes("admin", o.admin)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(o.out)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	typ, files, err := w.bootstrap.Config(ctx, o.server, bootstrap.ConfigOptions{Dir: dir, Admin: admin, Database: o.database})
	if err != nil {
		return err
	}
	if err := writeConfig(dir, files); err != nil {
		return err
	}
	checked, err := typ.CheckConfig(ctx, dir)
	if err != nil {
		return report.Hint(fmt.Errorf("check the configuration in %s: %w", dir, err), "the files are left there to be looked at")
	}
	if !checked {
		a.warn("", "the configuration was not checked: the nameserver's own checker is not installed here")
	}
	rows := make([]written, len(files))
	for i, f := range files {
		rows[i] = written{filepath.Join(o.out, f.Path), f.Secret}
	}
	return writtenColumns.Write(a.Out, render.Rows(rows))
}

// writeConfig writes the files of a configuration. A file that is there with
// other content is not replaced: a nameserver may run on it.
func writeConfig(dir string, files []nameserver.File) error {
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		old, err := os.ReadFile(path)
		switch {
		case err == nil && !f.Seed && string(old) != string(f.Content):
			return report.Hint(fmt.Errorf("%s is there with other content", path), "name another folder with --out, or remove that file: nothing was written")
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return report.Hint(fmt.Errorf("look at what is in --out: %w", err), "name a folder that this user can write, or one that is not there yet")
		}
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if _, err := os.Lstat(path); err == nil && f.Seed {
			continue
		}
		if err := writeFile(path, f); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, f nameserver.File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, os.FileMode(f.Mode))
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	// The umask may have taken bits that a nameserver of another user needs.
	err = errors.Join(out.Chmod(os.FileMode(f.Mode)), write(out, f.Content), out.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func write(f *os.File, b []byte) error {
	_, err := f.Write(b)
	return err
}
