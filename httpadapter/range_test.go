package httpadapter_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestRangeOverHTTP(t *testing.T) {
	s := newServer(t)
	s.track(event("agent_cost", "0.5")).fields(http.StatusCreated) // 4 minutes, 1 to 6 by the evidence
	const want = `"currency":"EUR","events":1,"hours_saved":0.067,"cost_saved":3.015,"agent_cost":0.5,"net_saved":2.515,` +
		`"hours_saved_conservative":0.017,"cost_saved_conservative":0.765,"net_saved_conservative":0.265,` +
		`"hours_saved_optimistic":0.1,"cost_saved_optimistic":4.5,"net_saved_optimistic":4}`
	f := s.get("/v1/reports/time-saved?range=true&group_by=outcome").fields(http.StatusOK)
	require.Equal(t, `[{"outcome":"success",`+want+`]`, f.text("rows"))
	require.Equal(t, `[{`+want+`]`, f.text("totals"))
	require.Equal(t, "outcome,currency,events,hours_saved,cost_saved,agent_cost,net_saved,hours_saved_conservative,cost_saved_conservative,net_saved_conservative,"+
		"hours_saved_optimistic,cost_saved_optimistic,net_saved_optimistic\r\nsuccess,EUR,1,0.067,3.015,0.5,2.515,0.017,0.765,0.265,0.1,4.5,4\r\n",
		s.get("/v1/reports/leaderboard?range=true&group_by=outcome&format=csv").body)
	require.NotContains(t, s.get("/v1/reports/cost-saved?range=false").body, "conservative")
	s.get("/v1/reports/cost-saved?range=maybe").refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "range")
}
