// Command report measures every row of package bench and writes docs/benchmarks.md. It needs a redis-server in the path for those on Redis.
package main

import (
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/humanhours/humanhours-go/bench"
)

func main() {
	serve := flag.String("serve", "", "be a server of this kind, for a report that is being made")
	work := flag.String("work", "", "be a process that does requests by this pattern, likewise")
	folder := flag.String("folder", "", "where files are written; empty: the system's folder for temporary ones")
	redis := flag.String("redis", "", "the address of a Redis that may be emptied; empty: one is started")
	rounds := flag.Int("rounds", 9, "how often both sides of a row take turns")
	each := flag.Duration("each", time.Second, "how long one turn takes, about")
	only := flag.String("only", "", "measure only paths whose name contains this, and of peers, idempotency, growth and soak what does")
	peers := flag.Bool("peers", true, "let other limiters show how exact they are")
	kills := flag.Int("kills", 30, "how often a process is killed while it does requests with idempotency keys; 0: idempotency is not looked at")
	growth := flag.Int("growth", 10_000_000, "up to how many events stores are filled; 0: they are not")
	soak := flag.Duration("soak", 10*time.Minute, "how long servers have a steady load; 0: they have none")
	out := flag.String("out", "docs/benchmarks.md", "the file to write; empty: the standard output")
	guard := flag.Bool("guard", false, "fail where a ratio of a path in process is far from what it was")
	flag.Parse()
	if *serve != "" {
		if err := bench.Serve(*serve, *folder, *redis); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *work != "" {
		if err := bench.Work(*work, *redis); err != nil {
			log.Fatal(err)
		}
		return
	}
	report := bench.Report{
		Folder: *folder, Redis: *redis, Rounds: *rounds, Each: *each, Only: *only, Peers: *peers, Kills: *kills, Guard: *guard, Growth: *growth, Soak: *soak,
	}
	if err := report.Write(*out); err != nil {
		log.Fatal(fmt.Errorf("report: %w", err))
	}
}
