// Command snapshot rebuilds the price list that is embedded in package pricebook, from a saved listing of OpenRouter's.
//
// The maintainer runs it in the root of the repository before each release, reads what it prints, and commits the file:
//
//	curl -o listing.json 'https://openrouter.ai/api/v1/models?output_modalities=all'
//	go run ./pricebook/cmd/snapshot -listing listing.json -date 2026-11-23
//
// The same listing and day give the same file. It prints which models are new and gone, which prices changed by more than 20 %, and
// which rows it could not read: those models have no price in the file.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go/pricebook"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "snapshot: "+err.Error())
		}
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("snapshot", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed once, by main
	listing := flags.String("listing", "", "the saved listing, a JSON `file`")
	date := flags.String("date", "", "the `day` on which it was saved, YYYY-MM-DD")
	out := flags.String("out", "pricebook/snapshot.json", "the `file` to write")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		flags.Usage()
		return err
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("there is an argument too many: %q", flags.Arg(0))
	case *listing == "":
		return errors.New("-listing must name the saved listing")
	}
	day, err := time.Parse(time.DateOnly, *date)
	if err != nil {
		return fmt.Errorf("-date must be a day such as 2026-11-23, not %q", *date)
	}
	data, err := os.ReadFile(*listing)
	if err != nil {
		return fmt.Errorf("the listing cannot be read: %w", err)
	}
	next, faulty, err := pricebook.ParseListing(data, day)
	if err != nil {
		return fmt.Errorf("%s: %w", *listing, err)
	}
	old, err := existing(*out)
	if err != nil {
		fmt.Fprintf(stdout, "%s is compared with nothing: %v\n", *out, err)
	}
	summarize(stdout, old, next, faulty)
	var file bytes.Buffer
	if _, err := next.WriteTo(&file); err != nil {
		return err
	}
	if err := os.WriteFile(*out, file.Bytes(), 0o644); err != nil {
		return fmt.Errorf("the snapshot cannot be written: %w", err)
	}
	return nil
}

// existing reads the snapshot that is about to be replaced. Whatever is wrong with it, the new one does not depend on it.
func existing(name string) (*pricebook.Static, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &pricebook.Static{}, nil
	}
	if err != nil {
		return &pricebook.Static{}, err
	}
	old, err := pricebook.ParseSnapshot(data)
	if err != nil {
		return &pricebook.Static{}, err
	}
	return old, nil
}

func summarize(w io.Writer, old, next *pricebook.Static, faulty []pricebook.Held) {
	diff := pricebook.Compare(old, next)
	info, was := next.Info(), old.Info()
	fmt.Fprintf(w, "edition %s of %s, %d models; before: %s, %d models\n", info.Version, info.Date.Format(time.DateOnly), info.Models, was.Version, was.Models)
	fmt.Fprintf(w, "%d new, %d gone, %d priced differently\n", len(diff.New), len(diff.Gone), len(diff.Changed))
	for _, id := range diff.New {
		fmt.Fprintf(w, "new: %s\n", id)
	}
	for _, id := range diff.Gone {
		fmt.Fprintf(w, "gone: %s\n", id)
	}
	for _, c := range diff.Prices {
		if muchDifferent(c.Old, c.New) {
			fmt.Fprintf(w, "changed by more than 20 %%: %s %s: %s to %s\n", c.Model, c.Price, amount(c.Old), amount(c.New))
		}
	}
	for _, h := range faulty {
		fmt.Fprintf(w, "faulty: %q %s\n", h.Model, h.Reason)
	}
}

// muchDifferent reports whether a price changed by more than 20 % of what it was, or came or went.
func muchDifferent(old, new decimal.NullDecimal) bool {
	if old.Valid != new.Valid {
		return true
	}
	return new.Decimal.Sub(old.Decimal).Abs().Mul(decimal.NewFromInt(5)).GreaterThan(old.Decimal)
}

func amount(d decimal.NullDecimal) string {
	if !d.Valid {
		return "none"
	}
	return d.Decimal.String()
}
