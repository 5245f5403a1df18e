package commands

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/config"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/store"
)

// App is what all commands of a run share. Configuration is read before a
// command runs; the store and what else is costly are opened when first asked
// for.
type App struct {
	Out    *render.Output
	Config *config.Loaded
	Log    *slog.Logger
	Now    func() time.Time

	flags   globalFlags
	asked   string // the format that the arguments ask for, before they are parsed
	env     []string
	ctx     context.Context // of the run, once --timeout is known; for finish only
	store   *store.Store    // once it is open
	sealing secret.Sealer   // once it is known
	shop    *workshop       // once it is put together
	stop    []func() error  // run by close, the last one first
	place   string          // the flags that say which store this is, for commands in hints
	command string          // the command's words without "dnsctl", for events
}

// globalFlags are the flags of every command that are no settings.
type globalFlags struct {
	config    string
	output    string
	columns   []string
	noHeaders bool
	quiet     bool
	verbose   int
	yes       bool
}

func newApp(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) *App {
	a := &App{env: env, Now: now}
	a.asked = cmp.Or(asked(args, "--output", "-o"), a.getenv("DNSCTL_OUTPUT"))
	color := cmp.Or(asked(args, "--color", ""), a.getenv("DNSCTL_COLOR"))
	a.Out = render.Detect(stdin, stdout, stderr, color, a.getenv)
	a.Log = slog.New(slog.DiscardHandler)
	return a
}

// asked finds a flag's value in a command line that may be wrong elsewhere. short
// is the flag's letter with its dash, "" where it has none.
func asked(args []string, long, short string) string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if (arg == long || short != "" && arg == short) && i+1 < len(args) {
			return args[i+1]
		}
		if v, ok := strings.CutPrefix(arg, long+"="); ok {
			return v
		}
		if v, ok := strings.CutPrefix(arg, short); ok && short != "" && v != "" {
			return strings.TrimPrefix(v, "=")
		}
	}
	return ""
}

func (a *App) getenv(name string) string {
	for i := len(a.env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(a.env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// prepare reads the configuration and sets up output, log and time limit. It
// runs before every command that does anything.
func (a *App) prepare(cmd *cobra.Command) error {
	loaded, err := config.Load(config.Surroundings{Flags: cmd.Flags(), File: a.flags.config, Env: a.env, Root: os.Geteuid() == 0})
	if err != nil {
		return err
	}
	a.Config = loaded
	out := render.Detect(a.Out.In, a.Out.Out, a.Out.Err, loaded.Color, a.getenv)
	out.Format = render.Format(loaded.Output)
	out.Columns, out.NoHeaders, out.Quiet = a.flags.columns, a.flags.noHeaders, a.flags.quiet
	out.Now = a.Now
	a.Out = out
	a.Log = a.logger(cmd)
	a.place = placeFlags(cmd.Flags())
	a.command = strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	ctx := cmd.Context()
	if loaded.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, loaded.Timeout, &timeoutError{loaded.Timeout.String()})
		a.stop = append(a.stop, func() error { cancel(); return nil })
		ctx = limited
		cmd.SetContext(ctx)
	}
	a.ctx = ctx
	// Whether it is a terminal was found out above, on the stream itself.
	a.Out.In = render.Interruptible(ctx, a.Out.In)
	return nil
}

// ctxOr is the run's context, or the one given while there is none.
func (a *App) ctxOr(ctx context.Context) context.Context {
	if a.ctx != nil {
		return a.ctx
	}
	return ctx
}

// logger writes to standard error. One-shot commands log warnings; services,
// -v and an explicit log.level more.
func (a *App) logger(cmd *cobra.Command) *slog.Logger {
	level := slog.LevelWarn
	if a.Config.Origin("log.level").Source != config.FromDefault || cmd.Annotations[service] != "" {
		switch a.Config.Log.Level {
		case "debug":
			level = slog.LevelDebug
		case "info":
			level = slog.LevelInfo
		case "error":
			level = slog.LevelError
		}
	}
	switch a.flags.verbose {
	case 0:
	case 1:
		level = min(level, slog.LevelInfo)
	default:
		level = slog.LevelDebug
	}
	opts := &slog.HandlerOptions{Level: level}
	if a.Config.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.Out.Err, opts))
	}
	return slog.New(slog.NewTextHandler(a.Out.Err, opts))
}

// service marks commands that run until they are stopped.
const service = "service"

// close undoes what the run opened.
func (a *App) close() error {
	var first error
	for i := len(a.stop) - 1; i >= 0; i-- {
		if err := a.stop[i](); err != nil && first == nil {
			first = err
		}
	}
	a.stop = nil
	return first
}

// actor is who runs the command, for events.
func (a *App) actor() report.Actor {
	act := report.Actor{UID: os.Getuid(), SudoUser: a.getenv("SUDO_USER"), Process: "cli"}
	if u, err := user.Current(); err == nil {
		act.User = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		act.Host = host
	}
	return act
}
