package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
)

// makePlan writes a dry run's steps into a plan file. Nothing is written when no
// server could be looked at.
func (a *App) makePlan(ctx context.Context, w *workshop, servers []fleet.Server, path string, opts apply.SyncOptions) (report.Report, error) {
	if err := replaceable(path); err != nil {
		return report.Report{}, err
	}
	doc, rep, err := w.syncer.Plan(ctx, "sync", servers, opts)
	if err != nil || len(doc.Servers) == 0 {
		return rep, err
	}
	if err := writePlan(path, doc); err != nil {
		return report.Report{}, err
	}
	steps, deletions := 0, 0
	for _, s := range doc.Servers {
		steps += len(s.Steps)
		deletions += *s.ApprovedDeletions
	}
	if steps == 0 {
		a.Out.Say("there is nothing to do; the plan in %s is empty", path)
	} else {
		a.Out.Say("the plan of %s, with %s, is in %s; to apply it: dnsctl sync --plan %s", report.Count(steps, "step"), report.Count(deletions, "deletion"), path, path)
	}
	return rep, nil
}

// replaceable refuses what a plan file must not take the place of.
func replaceable(path string) error {
	if path == "-" {
		return usagef("for instance --plan-out plan.json", "--plan-out does not write to standard output")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = os.Stat(filepath.Dir(path))
	case err == nil && !info.Mode().IsRegular():
		return usagef("for instance --plan-out plan.json", "--plan-out: %s is no file", path)
	}
	if err != nil {
		return report.Fail(report.ExitUsage, fmt.Errorf("--plan-out: %w", err), "name a file in a folder that is there and can be written")
	}
	return nil
}

// writePlan writes a plan file, which only its owner can read: it tells what the
// fleet is made of. It appears when it is whole.
func writePlan(path string, doc plan.Document) error {
	var b bytes.Buffer
	if err := doc.Write(&b); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".plan-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	err = errors.Join(write(f, b.Bytes()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// applyPlan applies a plan file, to the servers named or all that it is about.
func (a *App) applyPlan(ctx context.Context, o syncOptions, opts apply.SyncOptions) (report.Report, error) {
	doc, err := a.readPlan(o.plan)
	if err != nil {
		return report.Report{}, err
	}
	about := make([]string, len(doc.Servers))
	for i, s := range doc.Servers {
		about[i] = s.Name
	}
	for _, name := range o.servers {
		if !slices.Contains(about, name) {
			hint := "leave the servers out for all that it is about"
			if near := nearest(name, about); near != "" {
				hint = "did you mean " + near
			}
			return report.Report{}, usagef(hint, "the plan says nothing about server %q", name)
		}
	}
	if len(o.servers) > 0 {
		doc.Servers = slices.DeleteFunc(doc.Servers, func(n plan.Named) bool { return !slices.Contains(o.servers, n.Name) })
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return report.Report{}, err
	}
	servers, err := w.store.Servers(ctx)
	if err != nil {
		return report.Report{}, err
	}
	if opts.Meta.Comment == "" {
		opts.Meta.Comment = fmt.Sprintf("plan of %s by %s", doc.Made.Format("2006-01-02 15:04:05Z"), doc.By.Person())
	}
	return w.syncer.Apply(ctx, "sync", doc, servers, opts)
}

func (a *App) readPlan(path string) (plan.Document, error) {
	if path == "-" {
		return plan.ReadDocument(a.Out.In)
	}
	f, err := os.Open(path)
	if err != nil {
		return plan.Document{}, report.Fail(report.ExitUsage, fmt.Errorf("--plan: %w", err), "make one with: dnsctl sync --plan-out FILE")
	}
	defer f.Close()
	return plan.ReadDocument(f)
}
