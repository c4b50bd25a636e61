package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/humanhours/humanhours-go"
)

// minAdminToken is the least length of the secret that opens /admin/keys: it can make keys of every org.
const minAdminToken = 32

// readAdminToken reads the file of -admin-token-file; empty if there is none.
func readAdminToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read the file of -admin-token-file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minAdminToken {
		return "", fmt.Errorf("%s must hold a secret of at least %d characters; make one with: openssl rand -hex 32", file, minAdminToken)
	}
	return token, nil
}

// adminOnly lets in who sends the token.
func adminOnly(token string) func(*http.Request) error {
	want := sha256.Sum256([]byte(token)) // of one length whatever was sent, so that the comparison tells nothing
	return func(r *http.Request) error {
		scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(sent))
		if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return nil
		}
		code := humanhours.CodeInvalidAPIKey
		if r.Header.Get("Authorization") == "" {
			code = humanhours.CodeMissingAuthorization
		}
		return &humanhours.Error{
			Code: code, Message: "this needs the operator's token", Hint: "Send the header Authorization: Bearer and the text in the file of -admin-token-file.",
		}
	}
}
