package powerdns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
)

// Answers of the API that are no success. What an error says is the server's own
// words where it has any.
var (
	errNotFound = errors.New("HTTP status 404")
	errInternal = fmt.Errorf("%w", nameserver.ErrRefused) // HTTP status 500
)

// call makes a request whose answer is at most one JSON value; out may be nil.
// 404 is errNotFound: of whatever is asked for, or of the API itself.
func (d *driver) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return d.client.Do(ctx, method, d.base+path, body, func(status int, answer *httpjson.Decoder) error {
		switch {
		case status >= 300 || status < 200:
			return refusal(status, answer)
		case out == nil:
			return nil
		case status != http.StatusOK && status != http.StatusCreated:
			return fmt.Errorf("%w: HTTP status %d", nameserver.ErrAnswer, status)
		}
		if err := answer.Value(out); err != nil {
			return err
		}
		return answer.End()
	})
}

// refusal is the error that an HTTP status stands for.
func refusal(status int, answer *httpjson.Decoder) error {
	var said struct {
		Error string `json:"error"`
	}
	_ = answer.Value(&said) // often it is no JSON
	text := fmt.Sprintf("HTTP status %d", status)
	if said.Error != "" {
		text = nameserver.Printable(said.Error)
	}
	switch status {
	case http.StatusNotFound:
		return errNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s", nameserver.ErrAuth, text)
	case http.StatusConflict:
		return fmt.Errorf("%w: %s", nameserver.ErrExists, text)
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		if strings.Contains(said.Error, "unsupported characters") {
			return fmt.Errorf("%w: %s", nameserver.ErrBadName, text)
		}
		return fmt.Errorf("%w: %s", nameserver.ErrRefused, text)
	case http.StatusInternalServerError:
		return fmt.Errorf("%w: %s", errInternal, text)
	}
	return fmt.Errorf("%w: %s", nameserver.ErrAnswer, text) // a redirection, a proxy's own troubles
}
