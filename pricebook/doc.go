// Package pricebook knows what models and currencies cost.
//
// A first start needs no network: a dated snapshot of OpenRouter's public price list and of exchange rates is embedded.
//
//	tracker, err := humanhours.New(store, humanhours.Config{
//		Prices: pricebook.Snapshot(),
//		Rates:  pricebook.SnapshotRates(),
//	})
//
// A [Book] starts from that snapshot and keeps itself up to date, once it is told to; a [RateBook] does the same with the reference
// rates of the European Central Bank:
//
//	book, err := pricebook.New(pricebook.Config{File: "prices.json"})
//	book.Start(ctx)
//
// Feeds break, and a wrong price is worse than an old one. A refresh therefore replaces a whole edition or nothing: what cannot be
// fetched, read or believed leaves the last good edition in use, and a single price that cannot be believed leaves that row as it was.
// Everything that was refused is logged and told to the OnRefresh hook. Readers never wait for a refresh.
//
// A model is found by its exact id. Besides that there are only steps that somebody declared, and the answer's Price.Model shows
// them: the alias rows of the list, the routing suffixes that never have a row of their own (":nitro", ":floor", ":exacto",
// ":online", whose quotes are marked as estimated), and the aliases of a [Custom] book, with which operators lay prices of their
// own over any other book.
//
// Every event that is priced carries the price, and its source, version and date. No price, rate or cost passes through a float.
package pricebook
