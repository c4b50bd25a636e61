// Package humanhours turns "an AI agent finished a task" into money and hours that a finance team can check.
//
// A service calls Track once per task. The library resolves what a person would have needed, what an hour of that person
// costs and what the run cost, and stores one event with hours_saved, cost_saved, agent_cost and net_saved, and with the
// source of every number:
//
//	tracker, err := humanhours.New(memory.New(), humanhours.Config{
//		Prices: pricebook.Snapshot(),
//		Rates:  pricebook.SnapshotRates(),
//	})
//	...
//	result, err := tracker.Track(ctx, humanhours.Caller{}, humanhours.TrackRequest{
//		AgentID:        "support-classifier",
//		TaskType:       "email_classification",
//		Outcome:        humanhours.OutcomeSuccess,
//		AgentDuration:  humanhours.Seconds(4 * time.Second),
//		IdempotencyKey: ticket.ID,
//	})
//	// result.Event.HoursSaved is 0.066, result.Event.NetSaved is 2.97 EUR.
//
// # Numbers
//
// All arithmetic is exact: decimals, rounded in three documented places, never a float. ComputeROI is that arithmetic alone,
// without a Tracker, a store or a clock. What a number was computed from (the baseline and its layer, the rate, the price and its
// version, the exchange rate and its date) is frozen on the event, and Event.Recompute gives its own numbers
// again whatever the settings say today. A failure saves nothing. What is not known is absent, never zero.
//
// # Retries
//
// A request with an IdempotencyKey creates one event, however often and from however many processes it is sent within 24 hours.
// Track is a computation followed by one atomic Store.Append: there is no lock and no second phase that a crash
// could come between.
//
// # Limits
//
// Plans bound requests per second, exactly and in any one second, and events per month. A caller of an org without a plan, such as
// the zero Caller of a program that serves one tenant, has no limits.
//
// # Reports and corrections
//
// Report, Summary, Events and Export read what was stored. A correction (VoidEvent, RepriceEvent, RedactEvent) adds an amendment beside the
// event; reports count by it, and the event keeps its numbers.
//
// # Parts
//
// The Tracker works over small ports: Store, OrgStore and KeyStore, PriceBook, Rates and Limiter. This package
// imports none of their implementations:
//
//   - store/memory keeps events in the process, store/sqlite in one file, store/redis in a Redis server.
//   - store/storetest proves any Store, sentence by sentence of its contract.
//   - pricebook has model prices and exchange rates.
//   - httpadapter serves POST /v1/track and its companions over net/http.
//
// Errors of this package are *Error, with a Code for errors.Is:
//
//	if errors.Is(err, humanhours.CodeQuotaExceeded) { ... }
package humanhours
