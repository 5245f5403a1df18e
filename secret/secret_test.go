package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestPlainSecretsNeverPrint(t *testing.T) {
	t.Parallel()
	const word = "hunter2"
	p := New([]byte(word))
	type holder struct {
		Key   Plain
		Ptr   *Plain
		Inner any
		inner struct{ deep Plain }
	}
	h := holder{p, &p, p, struct{ deep Plain }{p}}
	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "p", p, "h", h)
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "p", p, "h", h)
	marshalled, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	asKey, err := json.Marshal(map[string]Plain{"k": p})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{
		"String": p.String(), "GoString": p.GoString(), "text log": text.String(), "JSON log": structured.String(),
		"JSON": string(marshalled), "JSON map": string(asKey), "error": fmt.Errorf("x %w %v", fmt.Errorf("y"), p).Error(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%T"} {
		out["secret "+verb] = fmt.Sprintf(verb, p)
		out["holder "+verb] = fmt.Sprintf(verb, h)
		out["list "+verb] = fmt.Sprintf(verb, []Plain{p})
	}
	forms := []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%X", word), strings.Trim(fmt.Sprint([]byte(word)), "[]"), fmt.Sprintf("%o", []byte(word))}
	for what, s := range out {
		for _, f := range forms {
			if strings.Contains(s, f) {
				t.Errorf("%s shows the secret: %s", what, s)
			}
		}
	}
	if string(p.Reveal()) != word || p.Empty() || !(Plain{}).Empty() {
		t.Error("Reveal or Empty is wrong")
	}
}
