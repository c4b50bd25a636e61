package store

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/storetest"

	"github.com/humanhours/humanhours-go"
)

// Where the processors are busy, stepping aside once can take as long as many flushes: it must not be done before each of them.
func TestStepsAsideLessOftenWhenThatTakesLong(t *testing.T) {
	g := NewGroup(memory.New(), GroupConfig{})
	const slow, fast = time.Duration(-1), time.Hour // flushes in whose time a step takes too long, or hardly any
	before := 0
	for range 3 {
		g.settle(1, slow)
		assert.Greater(t, g.unsettle, before, "it gives up for longer each time")
		before = g.unsettle
		for n := g.unsettle; n > 0; n-- {
			g.settle(1, slow)
			assert.Equal(t, n-1, g.unsettle)
		}
	}
	for g.patience > 0 {
		g.settle(1, fast)
		assert.Zero(t, g.unsettle)
	}
	g.settle(0, slow)
	assert.Zero(t, g.unsettle, "nobody was answered: there is nothing to step aside for")
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	for n := range 30 {
		g := NewGroup(memory.New(), GroupConfig{})
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				g.Append(context.Background(), []humanhours.Entry{storetest.Entry("acme", n*8+i)})
			})
		}
		all.Wait()
		assert.NoError(t, g.Close())
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if strings.Contains(string(stacks), "(*Group).run") {
			t.Fatalf("a goroutine still runs after Close:\n%s", stacks)
		}
	}
}
