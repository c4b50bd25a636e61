package storetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// comments returns the comments on types of a file of the root package, each with those on its methods and fields.
func comments(t *testing.T, file string, types ...string) string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../../"+file, nil, parser.ParseComments)
	require.NoError(t, err)
	var text strings.Builder
	found := 0
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		for _, spec := range group.Specs {
			named := spec.(*ast.TypeSpec)
			if !slices.Contains(types, named.Name.Name) {
				continue
			}
			found++
			text.WriteString(group.Doc.Text() + "\n")
			ast.Inspect(named.Type, func(n ast.Node) bool {
				if field, ok := n.(*ast.Field); ok {
					text.WriteString(field.Doc.Text() + "\n" + field.Comment.Text() + "\n")
				}
				return true
			})
		}
	}
	require.Equal(t, len(types), found, "types of %s", file)
	return text.String()
}

// normalised puts text on one line with single spaces.
func normalised(text string) string { return strings.Join(strings.Fields(text), " ") }

// bullets returns the items of the lists in a comment.
func bullets(text string) []string {
	var list []string
	open := false
	for line := range strings.Lines(text) {
		item, starts := strings.CutPrefix(strings.TrimSpace(line), "- ")
		switch {
		case starts:
			list = append(list, item)
			open = true
		case strings.TrimSpace(line) == "" || !strings.HasPrefix(line, " "):
			open = false
		case open:
			list[len(list)-1] += " " + item
		}
	}
	for i := range list {
		list[i] = normalised(list[i])
	}
	return list
}

func TestBullets(t *testing.T) {
	assert.Equal(t, []string{"one", "two goes on", "three"}, bullets("Text\n\n  - one\n  - two\n    goes\ton\n\n# Head - line\n\n  - three\n\nEnd.\n"))
}

func TestEverySentenceOfStoreIsProven(t *testing.T) {
	sentences := bullets(comments(t, "store.go", "Store"))
	require.NotEmpty(t, sentences)
	proven := make(map[string]bool)
	for _, p := range append(lift(storeProofs()), sharedProofs()...) {
		assert.Contains(t, sentences, p.contract, "the contract of the case %q", p.name)
		proven[p.contract] = true
	}
	for _, sentence := range sentences {
		assert.True(t, proven[sentence], "no case proves: %s", sentence)
	}
}

func TestCasesOfOtherPortsQuoteTheirContracts(t *testing.T) {
	orgs := normalised(comments(t, "org.go", "OrgStore"))
	for _, p := range append(lift(orgProofs()), sharedOrgProofs()...) {
		assert.Contains(t, orgs, p.contract, "the contract of the case %q", p.name)
	}
	keys := normalised(comments(t, "apikey.go", "KeyStore"))
	for _, p := range append(lift(keyProofs()), sharedKeyProofs()...) {
		assert.Contains(t, keys, p.contract, "the contract of the case %q", p.name)
	}
	limiter := normalised(comments(t, "ratelimit.go", "Limiter", "TakeQuery", "Decision"))
	for _, p := range append(limiterProofs(), sharedLimiterProofs()...) {
		assert.Contains(t, limiter, p.contract, "the contract of the case %q", p.name)
	}
}

func TestNamesOfCasesAreUnique(t *testing.T) {
	unique(t, append(lift(storeProofs()), sharedProofs()...))
	unique(t, append(lift(orgProofs()), sharedOrgProofs()...))
	unique(t, append(lift(keyProofs()), sharedKeyProofs()...))
	unique(t, append(limiterProofs(), sharedLimiterProofs()...))
}

func unique[S any](t *testing.T, proofs []proof[S]) {
	t.Helper()
	seen := make(map[string]bool)
	for _, p := range proofs {
		assert.False(t, seen[p.name], "two cases are called %q", p.name)
		seen[p.name] = true
	}
}

// A field that is added to Event must be set in the sample, or no case would notice that a store loses it.
func TestSampleEventIsFullAndValid(t *testing.T) {
	e := Event("acme", 1)
	var zero []string
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		leaf := v.Kind() != reflect.Struct || v.Type().PkgPath() != reflect.TypeFor[humanhours.Event]().PkgPath()
		if leaf {
			if v.IsZero() {
				zero = append(zero, path)
			}
			return
		}
		for i := range v.NumField() {
			walk(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	}
	walk("", reflect.ValueOf(e))
	// Set by cases of their own: the first would be left out of the quota, the others are for runs of calls, for events without a cost, and for what comes later.
	assert.Equal(t, []string{".Test", ".LLMCalls", ".Cost.Unpriced", ".Cost.UnpricedModel", ".Amendments"}, zero)

	assert.Empty(t, diff("", reflect.ValueOf(e.Recompute()), reflect.ValueOf(e.ROI)), "the results are those of the event's own numbers")
	back, err := humanhours.DecodeStored("acme", e.AppendStored(nil))
	require.NoError(t, err)
	assert.Empty(t, diff("", reflect.ValueOf(back), reflect.ValueOf(e)))
	assert.Equal(t, Event("acme", 1), e, "the same each time")
	assert.Less(t, Event("acme", 31).ID, Event("acme", 32).ID)
	assert.Len(t, e.ID, len("evt_")+26)
	entry := Entry("acme", 1)
	assert.NoError(t, entry.Check())
}

// diff must see a change of any field, or no case would.
func TestDiffSeesEveryField(t *testing.T) {
	var paths [][]int
	var walk func(at []int, v reflect.Type)
	walk = func(at []int, v reflect.Type) {
		if v.Kind() != reflect.Struct || v.PkgPath() != reflect.TypeFor[humanhours.Event]().PkgPath() {
			paths = append(paths, at)
			return
		}
		for i := range v.NumField() {
			walk(append(slices.Clone(at), i), v.Field(i).Type)
		}
	}
	walk(nil, reflect.TypeFor[humanhours.Event]())
	require.Greater(t, len(paths), 40)
	for _, path := range paths {
		e, other := Event("acme", 1), humanhours.Event{}
		other.Test, other.Cost.Unpriced, other.Cost.UnpricedModel = true, "reason", "model"
		other.LLMCalls, other.Amendments = []humanhours.PricedCall{{}}, []humanhours.Amendment{{}}
		field := reflect.ValueOf(&e).Elem().FieldByIndex(path)
		field.Set(reflect.ValueOf(other).FieldByIndex(path))
		assert.NotEmpty(t, diff("", reflect.ValueOf(e), reflect.ValueOf(Event("acme", 1))), "field %v", path)
	}
}

func TestSameJSON(t *testing.T) {
	for _, pair := range [][2]string{
		{`{"a":1,"b":[2]}`, ` { "b" : [ 2.0 ] , "a" : 1e0 } `}, {`{"n":1e400}`, `{"n":1E+400}`}, {`{"s":"\u00e9"}`, `{"s":"é"}`}, {``, ``},
	} {
		assert.True(t, sameJSON([]byte(pair[0]), []byte(pair[1])), "%s and %s", pair[0], pair[1])
	}
	for _, pair := range [][2]string{
		{`{"n":12345678901234567890}`, `{"n":12345678901234567891}`}, {`{"n":1e400}`, `{"n":1e401}`}, {`{"n":1}`, `{"n":"1"}`}, {`{}`, ``},
		{`{"a":null}`, `{}`}, {`[1,2]`, `[2,1]`}, {`[1]`, `[1,1]`}, {`{"a":1}`, `{"A":1}`}, {`{"a":true}`, `{"a":1}`}, {`{"a":{}}`, `{"a":[]}`},
	} {
		assert.False(t, sameJSON([]byte(pair[0]), []byte(pair[1])), "%s and %s", pair[0], pair[1])
	}
}
