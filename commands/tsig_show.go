package commands

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/render"
	"dnsctl/zone"
)

type tsigShowOptions struct {
	name, program string
	secret        bool
}

func newTSIGShowCmd(a *App) *cobra.Command {
	var o tsigShowOptions
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a key, or the snippet that makes a program know it",
		Long: `Shows a TSIG key. With --for, prints the snippet of configuration that makes that
program know it. The secret is left out unless --show-secret asks for it.`,
		Example: `  dnsctl tsig show main
  dnsctl tsig show main --for dig --show-secret > main.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runTSIGShow(cmd.Context(), a, o)
		},
	}
	c.Flags().Var(newEnum(&o.program, "", nameserver.KeyPrograms()...), "for", "the program that is to know it")
	c.Flags().BoolVar(&o.secret, "show-secret", false, "with the secret")
	return c
}

func runTSIGShow(ctx context.Context, a *App, o tsigShowOptions) error {
	if o.secret && o.program == "" {
		o.program = nameserver.KeyPrograms()[0]
	}
	k, err := a.key(ctx, o.name)
	if err != nil {
		return err
	}
	if o.program == "" {
		return keyColumns.One(a.Out, k)
	}
	text := "SECRET (left out; add --show-secret)"
	if o.secret {
		if text, err = a.secretText(ctx, k); err != nil {
			return err
		}
	}
	s := snippet{k.Name, o.program, nameserver.KeyText(o.program, keyText(k.Name), algorithmText(k), text)}
	if a.Out.Format.Machine() || a.Out.Format == render.Name || len(a.Out.Columns) > 0 {
		return snippetColumns.Result(a.Out, s)
	}
	_, err = io.WriteString(a.Out.Out, s.text)
	return err
}

// snippet is a key as a program's configuration has it.
type snippet struct {
	key           zone.Name
	program, text string
}

var snippetColumns = render.List[snippet]{Columns: []render.Column[snippet]{
	{Name: "key", Value: func(s snippet) any { return s.key }},
	{Name: "program", Value: func(s snippet) any { return s.program }},
	{Name: "snippet", Value: func(s snippet) any { return s.text }},
}}

// secretText is a key's secret in base64.
func (a *App) secretText(ctx context.Context, k fleet.Key) (string, error) {
	sealer, err := a.sealer(ctx)
	if err != nil {
		return "", err
	}
	plain, err := sealer.Open(ctx, k.Secret)
	if err != nil {
		return "", fmt.Errorf("open the secret of TSIG key %s: %w", keyText(k.Name), err)
	}
	return base64.StdEncoding.EncodeToString(plain.Reveal()), nil
}
