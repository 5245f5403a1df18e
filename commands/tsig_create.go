package commands

import (
	"context"
	"regexp"

	"github.com/spf13/cobra"

	"dnsctl/zone"
)

type tsigCreateOptions struct {
	name, scope, algorithm, secretFile, comment string
}

func newTSIGCreateCmd(a *App) *cobra.Command {
	var o tsigCreateOptions
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a key",
		Long: `Creates a TSIG key for the zones of a pool, or for one zone. Without --secret-file
its secret is random. The file holds the secret in base64; it is read once.

The key is used from now on: dnsctl tsig show --for gives the snippet that makes a
program know it.`,
		Example: `  dnsctl tsig create main-2 --scope pool:main
  dnsctl tsig create customer --scope zone:example.org --algorithm hmac-sha512`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runTSIGCreate(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.scope, "scope", "", "whose zones it is for: `pool:P|zone:Z`")
	f.StringVar(&o.algorithm, "algorithm", string(defaultAlgorithm), "the `algorithm`")
	f.StringVar(&o.secretFile, "secret-file", "", "read the secret from this `file`")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	required(c, "scope")
	complete(c, "algorithm", algorithms()...)
	return c
}

func runTSIGCreate(ctx context.Context, a *App, o tsigCreateOptions) error {
	name, err := parseKeyName(o.name)
	if err != nil {
		return err
	}
	alg, err := parseAlgorithm(o.algorithm)
	if err != nil {
		return err
	}
	var octets []byte
	if o.secretFile != "" {
		if octets, err = readSecretFile(o.secretFile); err != nil {
			return err
		}
	}
	scope, scopeName, err := a.parseScope(ctx, o.scope)
	if err != nil {
		return err
	}
	k, err := a.newKey(ctx, name, alg, octets)
	if err != nil {
		return err
	}
	k.Scope, k.ScopeName = scope, scopeName
	return a.createKey(ctx, k, a.byWith(o.comment))
}

// keyName is what means the same, without any escape, in the configuration of
// every kind of nameserver and in a shell.
var keyName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// parseKeyName reads the name of a new key.
func parseKeyName(text string) (zone.Name, error) {
	n, err := zone.ParseName(text)
	if err != nil {
		return "", usagef("", "key %v", err)
	}
	if n == zone.Root || !keyName.MatchString(n.String()) {
		return "", usagef("use letters, digits, hyphens, underscores and dots, which every nameserver's configuration takes as they are", "key name %q cannot be used", text)
	}
	return n, nil
}
