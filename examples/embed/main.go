// Command embed is a service that existed before HumanHours: a help desk whose agent sorts tickets. It keeps its own
// routes, mounts the HumanHours handler beside them for other teams, records its own agent's work in process, and prints what that
// saved as a table by month.
//
//	go run ./examples/embed
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/pricebook"
	"github.com/humanhours/humanhours-go/store/memory"
)

func main() {
	desk, secret, err := newHelpDesk(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	const addr = "127.0.0.1:8081"
	fmt.Printf(`The help desk listens on http://%s

Its own route, which records what its agent did:

  curl -s http://%[1]s/tickets/4711/classify -X POST

The HumanHours API beside it, for other teams:

  curl -s "http://%[1]s/v1/task-types?category=support" -H "Authorization: Bearer %s"

What its agent has saved, by month:

  curl -s http://%[1]s/savings
`, addr, secret.Reveal())
	server := &http.Server{Addr: addr, Handler: desk.routes(), ReadHeaderTimeout: 5 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "embed: "+err.Error())
		os.Exit(1)
	}
}

// helpDesk is the service.
type helpDesk struct {
	tracker *humanhours.Tracker
	api     *httpadapter.API
}

// caller is the org that the help desk's own agent works for.
var caller = humanhours.Caller{Org: "help-desk"}

func newHelpDesk(ctx context.Context) (*helpDesk, humanhours.Secret, error) {
	store := memory.New()
	tracker, err := humanhours.New(store, humanhours.Config{
		Orgs: store, Prices: pricebook.Snapshot(), Rates: pricebook.SnapshotRates(),
	})
	if err != nil {
		return nil, humanhours.Secret{}, err
	}
	keys := humanhours.NewKeys(store, humanhours.KeysConfig{})
	_, secret, err := keys.Create(ctx, caller.Org, false, 0)
	if err != nil {
		return nil, humanhours.Secret{}, err
	}
	api, err := httpadapter.New(tracker, httpadapter.Config{Keys: keys})
	return &helpDesk{tracker: tracker, api: api}, secret, err
}

func (d *helpDesk) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tickets/{id}/classify", d.classify)
	mux.HandleFunc("GET /savings", d.savings)
	mux.Handle("/v1/", d.api)
	mux.Handle("/api/v1/", d.api)
	return mux
}

// classify lets the agent sort a ticket and records what that saved.
func (d *helpDesk) classify(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	run := runAgent(id)
	result, err := d.tracker.Track(r.Context(), caller, humanhours.TrackRequest{
		AgentID: "ticket-sorter", TaskType: "ticket_triage", Outcome: humanhours.OutcomeSuccess,
		AgentDuration: humanhours.Seconds(run.took),
		Model:         "anthropic/claude-haiku-4.5",
		Usage:         humanhours.Usage{TokensIn: humanhours.Int64(run.tokensIn), TokensOut: humanhours.Int64(run.tokensOut)},
		// The ticket's id: if this handler runs again for the same ticket today, it still counts once.
		IdempotencyKey: "classify-" + id,
	})
	if err != nil {
		// The agent's work is done and worth more than its record: answer, and say so in the log.
		log.Printf("ticket %s was sorted, but not recorded: %v", id, err)
	}
	answer := map[string]any{"ticket": id, "queue": run.queue}
	if err == nil {
		answer["net_saved"] = json.RawMessage(humanhours.AppendDecimal(nil, result.Event.NetSaved))
		answer["currency"] = result.Event.Currency
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// savings prints a table of all months, as the help desk's zone has them.
func (d *helpDesk) savings(w http.ResponseWriter, r *http.Request) {
	report, err := d.tracker.Report(r.Context(), caller, humanhours.ReportQuery{
		GroupBy: []humanhours.Dimension{humanhours.ByMonth, humanhours.ByTaskType},
	})
	if err != nil {
		http.Error(w, "the table cannot be made now", httpadapter.Status(err))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	printTable(w, &report)
}

func printTable(to io.Writer, report *humanhours.Report) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "month\ttask type\ttasks\thours\tsaved\trun cost\tnet\tcurrency\t")
	line := func(month, taskType string, s *humanhours.ReportSums) {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", month, taskType, s.Events,
			s.HoursSaved.StringFixed(1), s.CostSaved.StringFixed(2), s.AgentCost.StringFixed(2), s.NetSaved.StringFixed(2), s.Currency)
	}
	for i := range report.Rows {
		row := &report.Rows[i]
		line(row.Values[0].Text, row.Values[1].Text, &row.ReportSums)
	}
	for i := range report.Totals {
		line("all", "", &report.Totals[i])
	}
	table.Flush()
	if n := report.Caveats.Unpriced; n > 0 {
		fmt.Fprintf(to, "%d of the tasks have no known run cost; it counts as 0.\n", n)
	}
}

// agentRun is what a run of the agent reports.
type agentRun struct {
	queue               string
	took                time.Duration
	tokensIn, tokensOut int64
}

// runAgent stands for the call of a language model.
func runAgent(string) agentRun {
	return agentRun{queue: "billing", took: 1800 * time.Millisecond, tokensIn: 1240, tokensOut: 35}
}
