package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/redis"
)

const keysUsage = `usage:
  server keys create -org ID [-plan free|pro|enterprise] [-test] [-scopes track:write,reports:read,org:write] [-db FILE]
  server keys list   [-org ID] [-db FILE]
  server keys rotate [-db FILE] KEYID
  server keys revoke [-db FILE] KEYID
with -redis URL [-redis-prefix PREFIX] instead of -db FILE for servers on Redis
`

// runKeys is "server keys ...": it manages API keys in the database, also while a server runs on it.
func runKeys(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, keysUsage)
		return errUsage
	}
	flags := flag.NewFlagSet("server keys "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, keysUsage) }
	var w where
	check := w.flags(flags, "database `file`")
	org := new(string)
	plan, test := new(string), new(bool)
	var scopes scopesFlag
	ofOne := args[0] == "revoke" || args[0] == "rotate"
	switch args[0] {
	case "create":
		plan = flags.String("plan", "", "plan of the org")
		test = flags.Bool("test", false, "make a test key")
		flags.Var(&scopes, "scopes", "what the key may do, as a comma `list`; default: everything")
		fallthrough
	case "list":
		org = flags.String("org", "", "`id` of the org")
	case "revoke", "rotate":
	default:
		fmt.Fprint(stderr, keysUsage)
		return errUsage
	}
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return errUsage
	case ofOne && flags.NArg() != 1:
		return fmt.Errorf("keys %s takes the id of one key: the 8 characters after hh_live_", args[0])
	case !ofOne && flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case args[0] == "create" && *org == "":
		return errors.New("keys create needs -org ID")
	case w.db == inMemory:
		return errors.New("keys in memory are gone when this command ends; give a file with -db")
	}
	if err := check(); err != nil {
		return err
	}
	if args[0] == "create" {
		if err := checkOrgID(*org); err != nil {
			return fmt.Errorf("the id of an org must be %w", err)
		}
	} else if err := checkExists(w.db); w.redis == "" && err != nil {
		return err
	}

	b, err := openBackend(ctx, w, false, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return err
	}
	defer b.close()
	keys := humanhours.NewKeys(b.keys, humanhours.KeysConfig{})
	switch args[0] {
	case "create":
		return createKey(ctx, b, keys, *org, *plan, *test, scopes.Scopes, stdout)
	case "list":
		return listKeys(ctx, keys, *org, stdout)
	case "rotate":
		return rotateKey(ctx, keys, flags.Arg(0), stdout, stderr)
	default:
		return revokeKey(ctx, keys, flags.Arg(0), stdout)
	}
}

// createKey makes a key, and its org if there is none.
func createKey(
	ctx context.Context, b *backend, keys *humanhours.Keys, org, plan string, test bool, scopes humanhours.Scopes, stdout io.Writer,
) error {
	tracker, err := humanhours.New(b.events, humanhours.Config{Orgs: b.orgs})
	if err != nil {
		return err
	}
	if plan != "" {
		entry := orgEntry{ID: org, Plan: plan, by: "server keys create"}
		if _, err := tracker.UpdateOrg(ctx, org, entry.update); err != nil && !errors.Is(err, errUnchanged) {
			return errors.New(message(err))
		}
	}
	_, secret, err := keys.Create(ctx, org, test, scopes)
	if err != nil {
		return errors.New(message(err))
	}
	fmt.Fprintln(stdout, secret.Reveal())
	return nil
}

// listKeys lists the keys of an org, or all if org is empty.
func listKeys(ctx context.Context, keys *humanhours.Keys, org string, stdout io.Writer) error {
	list, err := keys.List(ctx, org)
	if err != nil {
		return errors.New(message(err))
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tORG\tMODE\tSCOPES\tCREATED\tLAST USED\tSTATE")
	for _, k := range list {
		mode, state := "live", "valid"
		if k.Test {
			mode = "test"
		}
		if !k.RevokedAt.IsZero() {
			state = "revoked " + k.RevokedAt.Format(time.RFC3339)
		}
		used := "never"
		if !k.LastUsedAt.IsZero() {
			used = k.LastUsedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Org, mode, k.Scopes, k.CreatedAt.Format(time.RFC3339), used, state)
	}
	return table.Flush()
}

// rotateKey makes a key like another one, which goes on working.
func rotateKey(ctx context.Context, keys *humanhours.Keys, id string, stdout, stderr io.Writer) error {
	_, secret, err := keys.Rotate(ctx, id)
	if err != nil {
		return errors.New(message(err))
	}
	fmt.Fprintln(stdout, secret.Reveal())
	fmt.Fprintf(stderr, "the key %s goes on working; when nobody uses it any more: keys revoke %[1]s\n", id)
	return nil
}

// scopesFlag reads -scopes.
type scopesFlag struct{ humanhours.Scopes }

// Set implements flag.Value.
func (f *scopesFlag) Set(text string) error {
	list, err := json.Marshal(strings.Split(text, ","))
	if err != nil {
		return err
	}
	return json.Unmarshal(list, &f.Scopes)
}

func revokeKey(ctx context.Context, keys *humanhours.Keys, id string, stdout io.Writer) error {
	key, err := keys.Revoke(ctx, id)
	if err != nil {
		return errors.New(message(err))
	}
	fmt.Fprintf(stdout, "key %s of org %q is revoked; servers that run notice within 5 seconds\n", key.ID, key.Org)
	return nil
}

// checkExists refuses a database that would have to be made: nobody looks for keys in a new one, and a misspelt -db would leave a
// file behind.
func checkExists(db string) error {
	info, err := os.Stat(db)
	if !errors.Is(err, os.ErrNotExist) && (err != nil || info.IsDir() || info.Size() > 0) {
		return nil // what else is wrong with it is said when it is opened
	}
	file, err := filepath.Abs(db)
	if err != nil {
		file = db
	}
	return fmt.Errorf("there is no database at %s; start the server on that file to make one, or run: %s", file, createCommand("ID", where{db: file}))
}

// createCommand is the command that makes a key, to be pasted into a shell. A password is left to whoever pastes it.
func createCommand(org string, w where) string {
	command := program(os.Args[0]) + " keys create -org " + org
	if w.redis != "" {
		command += " -redis " + quote(redacted(w.redis))
		if w.prefix != redis.DefaultPrefix {
			command += " -redis-prefix " + quote(w.prefix)
		}
		return command
	}
	if standard, err := filepath.Abs(defaultDB); err != nil || w.db != standard {
		command += " -db " + quote(w.db)
	}
	return command
}

// program is how to call this program again. What "go run" made has a name in the build cache that does not stay.
func program(called string) string {
	if strings.Contains(called, "go-build") {
		return "go run ./examples/server"
	}
	return quote(called)
}

var plain = regexp.MustCompile(`^[\w./:@%+,=-]+$`)

// quote makes one word of a text for a shell.
func quote(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
