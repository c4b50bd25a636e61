package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
)

// exchange is what the tests of httpadapter record; record_test.go there has the same type.
type exchange struct {
	Test           string      `json:"test"`
	Method         string      `json:"method"`
	Path           string      `json:"path"`
	Query          string      `json:"query"`
	RequestHeader  http.Header `json:"request_header"`
	RequestBody    []byte      `json:"request_body"`
	RequestCut     bool        `json:"request_cut"`
	Status         int         `json:"status"`
	ResponseHeader http.Header `json:"response_header"`
	ResponseBody   []byte      `json:"response_body"`
	ResponseCut    bool        `json:"response_cut"`
}

func (e *exchange) String() string {
	return fmt.Sprintf("%s: %s %s?%s was answered with %d %.300s", e.Test, e.Method, e.Path, e.Query, e.Status, e.ResponseBody)
}

// allowances are what exchanges may do against the document. Names of tests stand for their subtests, too.
type allowances struct {
	madeUp      []string // tests whose Config.Authenticate answers errors that are not those of an endpoint
	credentials []string // tests with credentials of another kind than API keys
	ignored     []string // names of fields and of query parameters that show that unknown ones are ignored
}

// in reports whether a test is one of the list.
func in(list []string, test string) bool {
	return slices.ContainsFunc(list, func(name string) bool { return test == name || strings.HasPrefix(test, name+"/") })
}

// checker holds exchanges against a contract, and remembers what of it they have shown.
type checker struct {
	*contract
	allowances
	seen map[string]bool // as in obligations
}

func newChecker(c *contract, a allowances) *checker {
	return &checker{contract: c, allowances: a, seen: map[string]bool{}}
}

// check says what of an exchange is not as documented; nil: nothing.
func (c *checker) check(e *exchange) error {
	o, values, allowed := c.find(e.Method, e.Path)
	if o == nil {
		return c.checkOutside(e, allowed)
	}
	if e.Status >= 400 && in(c.madeUp, e.Test) {
		return c.checkMadeUp(e)
	}
	r := o.responses[e.Status]
	if r == nil {
		return fmt.Errorf("%s: the status %d is not documented", o.name, e.Status)
	}
	body, err := r.check(e, o.shape(e.Query))
	if err != nil {
		return err
	}
	if e.Status >= 400 {
		err = checkError(e, body, o)
	} else {
		err = c.checkRequest(e, o, values, body)
	}
	if err != nil {
		return err
	}
	c.seen[o.name], c.seen[o.status(e.Status)] = true, true
	c.seen[o.media(e.Status, e.ResponseHeader.Get("Content-Type"))] = true
	if name, ok := member(member(body, "error"), "field").(string); ok && e.Status == http.StatusUnprocessableEntity && o.unknown(e.Query, name) {
		c.seen[o.refusal()] = true
	}
	c.seeAnswer(e, r, body)
	return nil
}

// seeAnswer notes what of an answer was shown.
func (c *checker) seeAnswer(e *exchange, r *response, body any) {
	c.see(r.content[e.ResponseHeader.Get("Content-Type")], body)
	for name, h := range r.headers {
		for _, value := range e.ResponseHeader[name] {
			c.seen[at(h.schema)] = true
			c.see(h.schema, value)
		}
	}
}

// status names a documented status. Those that any operation can answer for the same reasons are one.
func (o *operation) status(status int) string {
	if status >= http.StatusInternalServerError {
		return fmt.Sprint("any operation: ", status)
	}
	return fmt.Sprint(o.name, ": ", status)
}

// media names a media type of a documented status.
func (o *operation) media(status int, mediaType string) string {
	return fmt.Sprint(o.status(status), " as ", mediaType)
}

// taking names a query parameter of an operation that takes no others.
func (o *operation) taking(p *parameter) string { return fmt.Sprint(o.name, " takes ", p.name) }

// refusal names what such an operation does with a query parameter that it does not have.
func (o *operation) refusal() string { return o.name + " refuses unknown parameters" }

// takes reports whether a query parameter of this name is one of the operation's.
func (o *operation) takes(name string) bool {
	return slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.in == "query" && p.takes(name) })
}

// unknown reports whether a query has a parameter that the operation does not have.
func (o *operation) unknown(query, name string) bool {
	sent, err := url.ParseQuery(query)
	return err == nil && sent.Has(name) && !o.takes(name)
}

// shape is what a query asks of a report; nil if the operation is none.
func (o *operation) shape(query string) *shape {
	if !o.takes("group_by") {
		return nil
	}
	sent, _ := url.ParseQuery(query)
	of := shape{ranged: sent.Get("range") == "true"}
	for _, p := range o.parameters {
		switch {
		case p.name != "group_by":
		case sent.Has(p.name):
			of.dimensions = strings.Split(sent.Get(p.name), ",")
		case p.schema.Default != nil:
			for _, name := range (*p.schema.Default).([]any) {
				of.dimensions = append(of.dimensions, fmt.Sprint(name))
			}
		}
	}
	return &of
}

// find returns the operation of a method and a path, with the values in the path, and the methods that the path has.
func (c *contract) find(method, path string) (found *operation, values map[string]string, allowed []string) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, prefix := range c.prefixes {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		for _, o := range c.operations {
			there, ok := match(o.template, strings.Split(rest, "/"))
			if !ok {
				continue
			}
			allowed = append(allowed, o.method)
			if o.method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
			if o.method == method {
				found, values = o, there
			}
		}
	}
	return found, values, allowed
}

// match holds the segments of a path against a template.
func match(template, segments []string) (map[string]string, bool) {
	if len(template) != len(segments) {
		return nil, false
	}
	values := map[string]string{}
	for i, segment := range segments {
		value, err := url.PathUnescape(segment)
		if err != nil {
			return nil, false
		}
		name, variable := strings.CutPrefix(template[i], "{")
		switch {
		case variable && value == "":
			return nil, false
		case variable:
			values[strings.TrimSuffix(name, "}")] = value
		case value != template[i]:
			return nil, false
		}
	}
	return values, true
}

// checkOutside checks what was sent to no operation.
func (c *checker) checkOutside(e *exchange, allowed []string) error {
	name, status := "NoEndpoint", http.StatusNotFound
	if len(allowed) > 0 {
		name, status = "MethodNotAllowed", http.StatusMethodNotAllowed
	}
	r := c.responses[name]
	if e.Status != status || r == nil {
		return fmt.Errorf("%s %s is not documented, and was not answered with %d", e.Method, e.Path, status)
	}
	body, err := r.check(e, nil)
	if err != nil {
		return err
	}
	if text := message(body); len(allowed) == 0 && !strings.HasPrefix(text, "there is no endpoint") {
		return fmt.Errorf("%s is not documented, and the answer does not say so: %s", e.Path, text)
	}
	got := strings.Split(e.ResponseHeader.Get("Allow"), ", ")
	if slices.Sort(got); len(allowed) > 0 && !slices.Equal(got, slices.Sorted(slices.Values(allowed))) {
		return fmt.Errorf("%s is documented for %v, and allows %v", e.Path, allowed, got)
	}
	if err := checkError(e, body, nil); err != nil {
		return err
	}
	c.seeAnswer(e, r, body)
	c.seen[name] = true
	return nil
}

// checkMadeUp checks the shape of an error that no endpoint would answer.
func (c *checker) checkMadeUp(e *exchange) error {
	body, err := decode(e.ResponseBody)
	if err != nil {
		return err
	}
	if err := c.errors.Validate(body); err != nil {
		return err
	}
	return checkError(e, body, nil)
}

// check checks an answer, a report of a shape, and returns its body: of CSV the lines, of a recording that was cut what is whole.
func (r *response) check(e *exchange, of *shape) (body any, err error) {
	for name, h := range r.headers {
		values := e.ResponseHeader[name]
		switch {
		case len(values) == 0 && h.required:
			return nil, fmt.Errorf("the header %s is missing", name)
		case len(values) > 1:
			return nil, fmt.Errorf("the header %s was sent more than once", name)
		case len(values) == 1:
			if err := h.check(h.typed(values[0])); err != nil {
				return nil, err
			}
		}
	}
	for name := range e.ResponseHeader {
		if _, ok := r.headers[name]; !ok && name != "Content-Type" {
			return nil, fmt.Errorf("the header %s is not documented", name)
		}
	}
	mediaType := e.ResponseHeader.Get("Content-Type")
	s := r.content[mediaType]
	if s == nil {
		return nil, fmt.Errorf("the media types are documented as %q, and it was %s", slices.Sorted(maps.Keys(r.content)), mediaType)
	}
	// A schema cannot say that a header comes with one media type only.
	const disposition = "Content-Disposition"
	if _, ok := r.headers[disposition]; ok && isCSV(mediaType) != (e.ResponseHeader.Get(disposition) != "") {
		return nil, fmt.Errorf("%s belongs to CSV, and came or was missing with %s", disposition, mediaType)
	}
	if body, err = read(e, s, of); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	return body, nil
}

// read reads the body of an answer, and checks it.
func read(e *exchange, s *jsonschema.Schema, of *shape) (body any, err error) {
	switch mediaType := e.ResponseHeader.Get("Content-Type"); {
	case isCSV(mediaType):
		t, err := readCSV(e.ResponseBody, e.ResponseCut)
		if err != nil {
			return nil, err
		}
		if want := membersOf(itemsOf(s), of); !slices.Equal(t.columns, want) {
			return nil, fmt.Errorf("the columns are %q, and not %q", t.columns, want)
		}
		return t.lines, s.Validate(t.lines)
	case mediaType != jsonType:
		return string(e.ResponseBody), s.Validate(string(e.ResponseBody))
	case e.ResponseCut:
		members, err := decodeCut(e.ResponseBody)
		if err == nil {
			err = validateCut(s, members)
		}
		if body = members; err != nil {
			return nil, err
		}
	default:
		if body, err = decode(e.ResponseBody); err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		if err := s.Validate(body); err != nil {
			return nil, err
		}
	}
	if of != nil && e.Status < 400 {
		return body, checkRows(s, body, of)
	}
	return body, nil
}

// checkError checks what a schema cannot say of an error.
func checkError(e *exchange, body any, o *operation) error {
	if e.ResponseCut {
		return errors.New("an error that is larger than what is recorded")
	}
	problem := member(body, "error")
	if err := checkCode(problem, e.Status); err != nil {
		return err
	}
	if o == nil || member(problem, "code") != string(humanhours.CodeInsufficientScope) {
		return nil
	}
	for _, scope := range o.scopes {
		if !strings.Contains(message(body), scope) {
			return fmt.Errorf("%s needs %s, and answers: %s", o.name, scope, message(body))
		}
	}
	if len(o.scopes) == 0 {
		return fmt.Errorf("%s needs no scope, and answers: %s", o.name, message(body))
	}
	return nil
}

// checkCode checks that a code belongs to a status.
func checkCode(problem any, status int) error {
	code, _ := member(problem, "code").(string)
	if want := httpadapter.Status(humanhours.Code(code)); want != status {
		return fmt.Errorf("the code %q has the status %d, and came with %d", code, want, status)
	}
	return nil
}

// message returns the message of an error.
func message(body any) string { return fmt.Sprint(member(member(body, "error"), "message")) }

// member returns a member of an object; nil if there is none.
func member(v any, name string) any {
	object, _ := v.(map[string]any)
	return object[name]
}

// keyShape is what the security scheme describes.
var keyShape = regexp.MustCompile(`^(?i:bearer) hh_(live|test)_[A-Za-z0-9]{8}_[A-Za-z0-9]{48}$`)

// ofHTTP are headers of a request that are the business of HTTP. OpenAPI itself says that Accept, Content-Type and Authorization are
// no parameters.
var ofHTTP = []string{"Accept", "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "User-Agent"}

// checkRequest checks a request that went well, strictly: what is not documented is an error, although the API ignores it.
func (c *checker) checkRequest(e *exchange, o *operation, values map[string]string, answer any) error {
	if o.secured && !in(c.credentials, e.Test) {
		if auth := e.RequestHeader["Authorization"]; len(auth) != 1 || !keyShape.MatchString(auth[0]) {
			return errors.New("it went well without an API key")
		}
	}
	sent, err := c.checkParameters(e, o, values)
	if err != nil {
		return err
	}
	if err := c.checkBody(e, o, answer); err != nil {
		return err
	}
	for p, list := range sent {
		for _, value := range list {
			c.seen[at(p.schema)] = true
			c.see(p.schema, value)
			c.seen[o.taking(p)] = true
		}
	}
	return nil
}

// checkParameters checks the path, the query and the headers of a request, and returns what they say.
func (c *checker) checkParameters(e *exchange, o *operation, values map[string]string) (map[*parameter][]any, error) {
	query, err := url.ParseQuery(e.Query)
	if err != nil {
		return nil, err
	}
	if o.takes("format") && isCSV(e.ResponseHeader.Get("Content-Type")) != (query.Get("format") == "csv") {
		return nil, fmt.Errorf("the format %q was answered with %s", query.Get("format"), e.ResponseHeader.Get("Content-Type"))
	}
	sent := map[*parameter][]any{}
	for i := range o.parameters {
		p := &o.parameters[i]
		switch p.in {
		case "path":
			sent[p] = []any{p.typed(values[p.name])}
		case "query":
			if sent[p], err = p.take(query, o.strict); err != nil {
				return nil, err
			}
		case "header":
			for _, text := range e.RequestHeader[http.CanonicalHeaderKey(p.name)] {
				sent[p] = append(sent[p], p.typed(text))
			}
		}
		if p.required && len(sent[p]) == 0 {
			return nil, fmt.Errorf("the parameter %s is missing", p.name)
		}
		for _, value := range sent[p] {
			if err := p.check(value); err != nil {
				return nil, err
			}
		}
	}
	for name := range query {
		if o.strict || !slices.Contains(c.ignored, name) {
			return nil, fmt.Errorf("the query parameter %s is not documented", name)
		}
	}
	for name := range e.RequestHeader {
		documented := slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.in == "header" && http.CanonicalHeaderKey(p.name) == name })
		if !documented && !slices.Contains(ofHTTP, name) && !in(c.credentials, e.Test) {
			return nil, fmt.Errorf("the header %s is not documented", name)
		}
	}
	return sent, nil
}

// checkBody checks the body of a request.
func (c *checker) checkBody(e *exchange, o *operation, answer any) error {
	if e.RequestCut {
		return nil
	}
	if o.body == nil {
		if len(e.RequestBody) > 0 {
			return errors.New("a body was read, and none is documented")
		}
		return nil
	}
	if mediaType, _, err := mime.ParseMediaType(e.RequestHeader.Get("Content-Type")); err != nil || mediaType != jsonType {
		return fmt.Errorf("the media type %s is not documented", e.RequestHeader.Get("Content-Type"))
	}
	body, err := decode(e.RequestBody)
	if err != nil {
		return err
	}
	if list, ok := member(answer, "results").([]any); ok && !e.ResponseCut {
		if body, err = taken(body, list); body == nil {
			return err
		}
	}
	if names := c.undocumented(o.body, body, ""); len(names) > 0 {
		return fmt.Errorf("not documented: %v", names)
	}
	if err := o.body.Validate(rounded(body)); err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	c.see(o.body, body)
	return nil
}

// takes reports whether a query parameter of this name is, or belongs to, p.
func (p *parameter) takes(name string) bool {
	if slices.Contains(typesOf(p.schema), "object") {
		return p.schema.PropertyNames.Validate(name) == nil
	}
	return p.name == name
}

// take takes what a query says of p out of it. An array is one value. Of an object each value of each member is one, as an object of its own: so a member can
// be sent more than once. Of what is sent again where one value is expected the first counts, unless the operation is strict.
func (p *parameter) take(query url.Values, strict bool) (values []any, err error) {
	types := typesOf(p.schema)
	for name, texts := range query {
		if !p.takes(name) {
			continue
		}
		delete(query, name)
		switch {
		case slices.Contains(types, "object"):
			for _, text := range texts {
				values = append(values, map[string]any{name: text})
			}
			continue
		case len(texts) > 1 && (p.commas || strict && !slices.Contains(types, "array")):
			return nil, fmt.Errorf("%s was sent more than once", name)
		case p.commas:
			texts = strings.Split(texts[0], ",")
		case !slices.Contains(types, "array"):
			return []any{p.typed(texts[0])}, nil
		}
		var list []any
		for _, text := range texts {
			list = append(list, text)
		}
		return []any{list}, nil
	}
	return values, nil
}

// typed is the text of a parameter or a header as what its schema speaks of.
func (p *parameter) typed(text string) any {
	if types := typesOf(p.schema); slices.Contains(types, "integer") || slices.Contains(types, "boolean") {
		if value, err := decode([]byte(text)); err == nil {
			return value
		}
	}
	return text
}

// check checks a value of a parameter or a header.
func (p *parameter) check(value any) error {
	if err := p.schema.Validate(value); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// typesOf lists the types that a schema names.
func typesOf(s *jsonschema.Schema) (types []string) {
	for _, part := range partsOf(s) {
		if part.Types != nil {
			types = append(types, part.Types.ToStrings()...)
		}
	}
	return types
}

// taken takes the events of a batch out that were refused: they may be anything. Nothing remains: nil.
func taken(body any, results []any) (any, error) {
	events, _ := member(body, "events").([]any)
	if len(events) != len(results) {
		return nil, fmt.Errorf("%d events have %d results", len(events), len(results))
	}
	var good []any
	for i, result := range results {
		status, err := strconv.Atoi(fmt.Sprint(member(result, "status")))
		if err != nil {
			return nil, err
		}
		if status < 400 {
			good = append(good, events[i])
			continue
		}
		if err := checkCode(member(result, "error"), status); err != nil {
			return nil, err
		}
	}
	if len(good) == 0 {
		return nil, nil
	}
	object := maps.Clone(body.(map[string]any))
	object["events"] = good
	return object, nil
}

// rounded rounds all numbers to nine decimals, as the API does before it holds them against a bound: JSON Schema cannot say that. An
// exponent beyond all bounds is cut: 1e999999999 must not be written out.
func rounded(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[name] = rounded(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = rounded(value)
		}
		return out
	case json.Number:
		mantissa, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e")
		if n, err := strconv.Atoi(exponent); exponent != "" && (err != nil || n < -1000 || n > 1000) {
			exponent = "1000"
			if strings.HasPrefix(v.String()[len(mantissa)+1:], "-") {
				exponent = "-1000"
			}
		}
		if exponent == "" {
			exponent = "0"
		}
		exact, ok := new(big.Rat).SetString(mantissa + "e" + exponent)
		if !ok {
			return v
		}
		return json.Number(exact.FloatString(9))
	}
	return v
}

// undocumented lists the members of v that a schema does not have. Where it has "additionalProperties: true", they are the sender's own.
func (c *checker) undocumented(s *jsonschema.Schema, v any, path string) (names []string) {
	parts := partsOf(s)
	switch v := v.(type) {
	case map[string]any:
		if slices.ContainsFunc(parts, func(s *jsonschema.Schema) bool { return s.AdditionalProperties == true }) {
			return nil
		}
		for name, value := range v {
			known := slices.Contains(c.ignored, name)
			for _, part := range parts {
				if property := part.Properties[name]; property != nil {
					known = true
					names = append(names, c.undocumented(property, value, path+"."+name)...)
				}
			}
			if !known {
				names = append(names, path+"."+name)
			}
		}
	case []any:
		for i, value := range v {
			for _, part := range parts {
				if part.Items2020 != nil {
					names = append(names, c.undocumented(part.Items2020, value, fmt.Sprint(path, ".", i))...)
				}
			}
		}
	}
	return names
}

// partsOf returns a schema and all that apply with it at the same place.
func partsOf(s *jsonschema.Schema) []*jsonschema.Schema {
	if s == nil {
		return nil
	}
	parts := append([]*jsonschema.Schema{s}, partsOf(s.Ref)...)
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		for _, part := range list {
			parts = append(parts, partsOf(part)...)
		}
	}
	return parts
}

// see notes which documented properties v has, and which values of an enumeration.
func (c *checker) see(s *jsonschema.Schema, v any) {
	for _, part := range partsOf(s) {
		switch v := v.(type) {
		case map[string]any:
			for name, property := range part.Properties {
				if value, ok := v[name]; ok {
					c.seen[at(property)] = true
					c.see(property, value)
				}
			}
			for pattern, property := range part.PatternProperties {
				for name, value := range v {
					if pattern.MatchString(name) {
						c.seen[at(property)] = true
						c.see(property, value)
					}
				}
			}
		case []any:
			for _, value := range v {
				if part.Items2020 != nil {
					c.see(part.Items2020, value)
				}
			}
		default:
			if part.Enum != nil {
				c.seen[fmt.Sprint(at(part), ": ", v)] = true
			}
		}
	}
}

// at is where a schema stands in the document.
func at(s *jsonschema.Schema) string {
	_, pointer, _ := strings.Cut(s.Location, "#")
	if text, err := url.PathUnescape(pointer); err == nil {
		pointer = text
	}
	return pointer
}

// obligations are everything that a recording must show: operations, their parameters, statuses and media types, and all properties, headers and values of
// enumerations, in requests that went well and in answers. An operation that refuses unknown parameters must be shown to know each of its own, and to refuse
// another.
func (c *contract) obligations() []string {
	must := map[string]bool{}
	visited := map[*jsonschema.Schema]bool{}
	var visit func(*jsonschema.Schema)
	visit = func(s *jsonschema.Schema) {
		for _, part := range partsOf(s) {
			if visited[part] {
				continue
			}
			visited[part] = true
			for _, property := range part.Properties {
				must[at(property)] = true
				visit(property)
			}
			for _, property := range part.PatternProperties {
				must[at(property)] = true
				visit(property)
			}
			visit(part.Items2020)
			if part.Enum != nil {
				for _, value := range part.Enum.Values {
					must[fmt.Sprint(at(part), ": ", value)] = true
				}
			}
		}
	}
	answer := func(r *response) {
		for _, s := range r.content {
			visit(s)
		}
		for _, h := range r.headers {
			must[at(h.schema)] = true
			visit(h.schema)
		}
	}
	for _, o := range c.operations {
		must[o.name] = true
		visit(o.body)
		for i := range o.parameters {
			p := &o.parameters[i]
			must[at(p.schema)] = true // one that is shared, once
			visit(p.schema)
			if o.strict && p.in == "query" {
				must[o.taking(p)] = true
			}
		}
		if o.strict {
			must[o.refusal()] = true
		}
		for status, r := range o.responses {
			must[o.status(status)] = true
			for mediaType := range r.content {
				must[o.media(status, mediaType)] = true
			}
			answer(r)
		}
	}
	for _, name := range []string{"NoEndpoint", "MethodNotAllowed"} {
		must[name] = true
		answer(c.responses[name])
	}
	return slices.Sorted(maps.Keys(must))
}

// unseen lists the obligations that were not seen.
func (c *checker) unseen() []string {
	return slices.DeleteFunc(c.obligations(), func(name string) bool { return c.seen[name] })
}
