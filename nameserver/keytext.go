package nameserver

import "fmt"

// keyTexts make a program know a TSIG key; some of the programs have no driver
// yet. Name, algorithm and secret go into the text.
var keyTexts = map[string]string{
	"bind": `key "%[1]s" { algorithm %[2]s; secret "%[3]s"; };
`,
	"dig": `# Save this in a file that only you can read, and use: dig -k FILE
key "%[1]s" { algorithm %[2]s; secret "%[3]s"; };
`,
	"knot": `key:
  - id: "%[1]s"
    algorithm: %[2]s
    secret: "%[3]s"
`,
	"nsd": `key:
    name: "%[1]s"
    algorithm: %[2]s
    secret: "%[3]s"
`,
	"powerdns": `pdnsutil import-tsig-key '%[1]s' %[2]s '%[3]s'
`,
}

// KeyPrograms are the programs that KeyText knows.
func KeyPrograms() []string { return []string{"bind", "nsd", "knot", "powerdns", "dig"} }

// KeyText is what makes a program know a TSIG key: statements for its
// configuration, or a command. The secret is base64.
func KeyText(program, name, algorithm, secret string) string {
	return fmt.Sprintf(keyTexts[program], name, algorithm, secret)
}
