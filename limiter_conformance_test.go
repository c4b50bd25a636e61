package humanhours_test

import (
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func TestLimiterConformance(t *testing.T) {
	storetest.RunLimiter(t, func(_ testing.TB, clock func() time.Time) humanhours.Limiter { return humanhours.NewLimiter(clock) })
}
