package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/sync/apply"
)

func newServerAcceptCmd(a *App) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   "accept NAME",
		Short: "Take a nameserver over that had zones, or another store's marker",
		Long: `Shows what taking the nameserver over would mean: what is wrong with its marker,
which of its zones would be foreign and which stale. When the number of these is
typed, or with --yes, this store's marker is put on it, and the pool's policy for
foreign zones holds there from then on. Nothing else is changed: what is deleted is
deleted by sync, with its own questions and guards.`,
		Example: "  dnsctl server accept ns1\n  dnsctl server accept ns1 --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runServerAccept(cmd.Context(), a, args[0], comment)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

// acceptance is a zone that accepting a server would make ours to delete.
type acceptance struct {
	zone  any
	class report.Class
}

var acceptanceColumns = render.List[acceptance]{Columns: []render.Column[acceptance]{
	{Name: "zone", Value: func(x acceptance) any { return x.zone }},
	{Name: "class", Value: func(x acceptance) any { return string(x.class) }},
}}

func runServerAccept(ctx context.Context, a *App, name, comment string) error {
	s, err := a.server(ctx, name)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	what, err := w.bootstrap.Preview(ctx, s)
	if err != nil {
		return err
	}
	if err := a.confirmAcceptance(s, what); err != nil {
		return err
	}
	if err := w.bootstrap.Accept(ctx, w.store, s, what, apply.Options{Meta: a.meta(comment)}); err != nil {
		return err
	}
	if s, err = w.store.Server(ctx, s.Name); err != nil {
		return err
	}
	return serverColumns.Result(a.Out, s)
}

// confirmAcceptance says what accepting means, on standard error, and asks.
func (a *App) confirmAcceptance(s fleet.Server, what bootstrap.Acceptance) error {
	if what.Marker != "" {
		a.Out.Say("marker of %s: %s", s.Name, what.Marker)
	}
	var list []acceptance
	for _, z := range what.Foreign {
		list = append(list, acceptance{z, report.Foreign})
	}
	for _, z := range what.Stale {
		list = append(list, acceptance{z, report.Stale})
	}
	if err := a.showAcceptance(list); err != nil {
		return err
	}
	if a.flags.yes {
		return nil
	}
	hint := "if that is meant, add --yes"
	question, answer := fmt.Sprintf("%s of %s would be foreign and %d stale, for dnsctl sync to delete.", report.Count(len(what.Foreign), "zone"), s.Name, len(what.Stale)), strconv.Itoa(len(list))
	if len(list) == 0 {
		question, answer = fmt.Sprintf("Nothing on %s would be foreign or stale.", s.Name), s.Name
	}
	ok, err := a.Out.Confirm(question, answer)
	switch {
	case errors.Is(err, render.ErrNoAnswer):
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s: not confirmed, and there is no terminal to ask on: nothing was changed", s.Name), hint)
	case err != nil:
		return err
	case !ok:
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s: not confirmed, nothing was changed", s.Name), hint)
	}
	return nil
}

// showAcceptance lists zones on standard error: what a question is about.
func (a *App) showAcceptance(list []acceptance) error {
	if len(list) == 0 {
		return nil
	}
	shown := *a.Out
	shown.Out, shown.Format, shown.Columns = a.Out.Err, render.Table, nil
	return acceptanceColumns.Write(&shown, render.Rows(list))
}
