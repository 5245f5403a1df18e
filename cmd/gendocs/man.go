package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/config"
	"dnsctl/report"
)

// page is a manual page in the making, in man(7) macros.
type page struct{ strings.Builder }

// pages makes the manual page of a command and of those below it.
func pages(files map[string][]byte, c *cobra.Command) {
	files[filepath.Join("man", pageName(c)+".1")] = []byte(manual(c))
	for _, sub := range below(c) {
		pages(files, sub)
	}
}

// below is the commands directly below c that users see.
func below(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			out = append(out, sub)
		}
	}
	return out
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manual(c *cobra.Command) string {
	p := &page{}
	p.line(`.\" made by make docs, from the help texts of the commands`)
	p.line(fmt.Sprintf(`.TH %s 1 "" dnsctl "dnsctl manual"`, strings.ToUpper(pageName(c))))
	p.line(".nh") // names and flags are not to be broken
	p.section("NAME")
	p.line(escape(pageName(c)) + ` \- ` + escape(lowerFirst(c.Short)))
	p.synopsis(c)
	p.section("DESCRIPTION")
	p.text(c.Long)
	if subs := below(c); len(subs) > 0 {
		p.section("COMMANDS")
		for _, sub := range subs {
			p.item(fmt.Sprintf(`\fB%s\fR(1)`, escape(pageName(sub))), sub.Short)
		}
	}
	p.flags("OPTIONS", c.LocalNonPersistentFlags())
	if !c.HasParent() {
		p.flags("GLOBAL OPTIONS", c.PersistentFlags())
	}
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(strings.Split(strings.Trim(c.Example, "\n"), "\n"))
	}
	if c.HasParent() {
		p.section("EXIT STATUS")
		p.line(`See \fBdnsctl\fR(1), which has the global options as well.`)
	} else {
		p.exitCodes()
		p.environment()
	}
	p.seeAlso(c)
	return p.String()
}

func (p *page) line(s string) { p.WriteString(s + "\n") }

func (p *page) section(name string) { p.line(".SH " + name) }

func (p *page) synopsis(c *cobra.Command) {
	p.section("SYNOPSIS")
	words := strings.TrimPrefix(c.UseLine(), c.CommandPath())
	p.line(fmt.Sprintf(`\fB%s\fR%s`, escape(c.CommandPath()), escape(words)))
}

// item is a tagged paragraph.
func (p *page) item(tag, text string) {
	p.line(".TP")
	p.line(tag)
	p.line(guard(escape(text)))
}

// text sets paragraphs; lines that begin with spaces stay as they are.
func (p *page) text(s string) {
	for i, block := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		lines := strings.Split(block, "\n")
		for len(lines) > 0 {
			n := 0
			for n < len(lines) && strings.HasPrefix(lines[n], " ") == strings.HasPrefix(lines[0], " ") {
				n++
			}
			if strings.HasPrefix(lines[0], " ") {
				p.verbatim(lines[:n])
			} else {
				for _, line := range lines[:n] {
					p.line(guard(escape(line)))
				}
			}
			lines = lines[n:]
		}
	}
}

// verbatim sets lines without filling them.
func (p *page) verbatim(lines []string) {
	p.line(".nf")
	for _, line := range lines {
		p.line(guard(escape(line)))
	}
	p.line(".fi")
}

func (p *page) flags(heading string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(heading)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		tag := `\fB` + escape("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			tag = `\fB` + escape("-"+f.Shorthand) + `\fR, ` + tag
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" && f.Value.Type() != "count" {
			tag += ` \fI` + escape(value) + `\fR`
		}
		switch f.DefValue {
		case "", "false", "0", "[]", "0s", "-1":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		p.item(tag, usage)
	})
}

func (p *page) exitCodes() {
	p.section("EXIT STATUS")
	for _, e := range report.ExitCodes {
		p.item(`\fB`+strconv.Itoa(int(e.Code))+`\fR`, e.Meaning)
	}
}

func (p *page) environment() {
	p.section("ENVIRONMENT")
	entries, err := config.Reference()
	if err != nil {
		panic(err) // the source of the settings is compiled in
	}
	p.line(`Each variable is a setting, which files and flags may say as well; see \fBdnsctl\-environment\fR(1).`)
	for _, e := range entries {
		text := e.Doc
		if e.Default != "" {
			text += " The default is " + e.Default + "."
		}
		p.item(`\fB`+escape(e.Env)+`\fR`, text)
	}
	p.item(`\fBDNSCTL_CONFIG\fR`, "The configuration file, as with --config.")
	p.item(`\fBNO_COLOR\fR, \fBCLICOLOR_FORCE\fR, \fBTERM\fR`, "No color where NO_COLOR is set; color off a terminal as well where CLICOLOR_FORCE is; TERM=dumb means neither color nor moving the cursor.")
}

func (p *page) seeAlso(c *cobra.Command) {
	var refs []string
	if c.HasParent() {
		refs = append(refs, pageName(c.Parent()))
		for _, sister := range below(c.Parent()) {
			if sister != c && c.Parent().HasParent() {
				refs = append(refs, pageName(sister))
			}
		}
	}
	if len(refs) == 0 {
		return
	}
	p.section("SEE ALSO")
	for i, r := range refs {
		end := ","
		if i == len(refs)-1 {
			end = ""
		}
		p.line(fmt.Sprintf(`\fB%s\fR(1)%s`, escape(r), end))
	}
}

// escape makes text safe for roff: a backslash is one, and a hyphen is that of
// the keyboard, so that commands can be copied.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

// guard keeps a line of text from being a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
