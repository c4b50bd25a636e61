package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// document is an OpenAPI document as far as ours makes use of the format. It is read strictly: a name that is not here is a slip.
type document struct {
	OpenAPI    string                `yaml:"openapi"`
	Info       map[string]any        `yaml:"info"`
	Servers    []serverObject        `yaml:"servers"`
	Tags       []map[string]string   `yaml:"tags"`
	Security   []map[string][]string `yaml:"security"`
	Paths      map[string]pathObject `yaml:"paths"`
	Components struct {
		SecuritySchemes map[string]any             `yaml:"securitySchemes"`
		Parameters      map[string]parameterObject `yaml:"parameters"`
		Headers         map[string]headerObject    `yaml:"headers"`
		Responses       map[string]responseObject  `yaml:"responses"`
		Examples        map[string]exampleObject   `yaml:"examples"`
		Schemas         map[string]any             `yaml:"schemas"`
	} `yaml:"components"`
}

type serverObject struct {
	URL         string `yaml:"url"`
	Description string `yaml:"description"`
}

type pathObject struct {
	Parameters []parameterObject `yaml:"parameters"`
	Get        *operationObject  `yaml:"get"`
	Post       *operationObject  `yaml:"post"`
	Patch      *operationObject  `yaml:"patch"`
	Delete     *operationObject  `yaml:"delete"`
}

type operationObject struct {
	OperationID       string                    `yaml:"operationId"`
	Tags              []string                  `yaml:"tags"`
	Summary           string                    `yaml:"summary"`
	Description       string                    `yaml:"description"`
	UnknownParameters string                    `yaml:"x-unknown-parameters"` // "refused", or empty: ignored
	Security          *[]map[string][]string    `yaml:"security"`
	Parameters        []parameterObject         `yaml:"parameters"`
	RequestBody       *bodyObject               `yaml:"requestBody"`
	Responses         map[string]responseObject `yaml:"responses"`
}

type parameterObject struct {
	Ref         string `yaml:"$ref"`
	Name        string `yaml:"name"`
	In          string `yaml:"in"`
	Description string `yaml:"description"`
	Required    bool   `yaml:"required"`
	Style       string `yaml:"style"`
	Explode     *bool  `yaml:"explode"`
	Schema      any    `yaml:"schema"`
	Example     any    `yaml:"example"`
}

type bodyObject struct {
	Required bool                   `yaml:"required"`
	Content  map[string]mediaObject `yaml:"content"`
}

type responseObject struct {
	Ref         string                  `yaml:"$ref"`
	Description string                  `yaml:"description"`
	Headers     map[string]headerObject `yaml:"headers"`
	Content     map[string]mediaObject  `yaml:"content"`
}

type headerObject struct {
	Ref         string `yaml:"$ref"`
	Description string `yaml:"description"`
	Required    bool   `yaml:"required"`
	Schema      any    `yaml:"schema"`
	Example     any    `yaml:"example"`
}

type mediaObject struct {
	Schema   any                      `yaml:"schema"`
	Example  any                      `yaml:"example"`
	Examples map[string]exampleObject `yaml:"examples"`
}

type exampleObject struct {
	Ref         string `yaml:"$ref"`
	Summary     string `yaml:"summary"`
	Description string `yaml:"description"`
	Value       any    `yaml:"value"`
}

// contract is the document, ready to hold exchanges against it.
type contract struct {
	prefixes   []string // of all paths
	operations []*operation
	responses  map[string]*response // by name in components
	errors     *jsonschema.Schema   // what all errors have in common
	examples   []example
}

// operation is a method of a path.
type operation struct {
	name       string // "GET /task-types/{key}"
	method     string
	template   []string // the segments of the path
	secured    bool
	scopes     []string
	strict     bool // refuses query parameters that it does not know
	parameters []parameter
	body       *jsonschema.Schema // nil: takes none
	responses  map[int]*response
}

type parameter struct {
	name, in string
	required bool
	commas   bool // the values of an array are in one text, instead of one text each
	schema   *jsonschema.Schema
}

type response struct {
	headers map[string]parameter // by canonical name
	content content
}

// content are schemas by media type. That of CSV is the one of the list of its lines, as objects by the names in the first.
type content map[string]*jsonschema.Schema

// example is an example of the document with the schema that it must keep.
type example struct {
	at     string
	schema *jsonschema.Schema
	value  any
}

// loader turns a document into a contract. Pointers are JSON pointers into the document.
type loader struct {
	doc      document
	compiler *jsonschema.Compiler
	examples []example
}

// load reads a document.
func load(text string) (*contract, error) {
	l := loader{compiler: jsonschema.NewCompiler()}
	if err := decodeDocument(text, &l.doc); err != nil {
		return nil, err
	}
	var whole any
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
		return nil, err
	}
	if err := knownKeywords(whole, ""); err != nil {
		return nil, err
	}
	whole, err := asJSON(whole)
	if err != nil {
		return nil, err
	}
	l.compiler.DefaultDraft(jsonschema.Draft2020)
	l.compiler.AssertFormat()
	if err := l.compiler.AddResource(documentURL, whole); err != nil {
		return nil, err
	}
	return l.contract()
}

// decodeDocument reads YAML strictly.
func decodeDocument(text string, d *document) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	return decoder.Decode(d)
}

const documentURL = "https://humanhours.invalid/openapi.json"

// asJSON turns what YAML reads into what JSON reads, with exact numbers.
func asJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// keywords are what our schemas are made of. JSON Schema ignores all others, and so a slip such as "minlength".
var keywords = strings.Fields(`$ref description type format enum const pattern minLength maxLength minimum maximum exclusiveMinimum minItems maxItems uniqueItems items
	properties patternProperties propertyNames required additionalProperties unevaluatedProperties minProperties dependentRequired allOf anyOf oneOf default`)

// knownKeywords looks for schemas, at the places where a document has them, and for keywords in them that are none.
func knownKeywords(v any, pointer string) error {
	object, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]any); ok {
			for i, item := range list {
				if err := knownKeywords(item, fmt.Sprint(pointer, "/", i)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := pointer + "/" + name
		var err error
		switch value := object[name]; {
		case name == "example" || name == "examples":
		case name == "schema":
			err = schemaKeywords(value, at)
		case at == "/components/schemas":
			for name, schema := range value.(map[string]any) {
				if err == nil {
					err = schemaKeywords(schema, at+"/"+name)
				}
			}
		default:
			err = knownKeywords(value, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func schemaKeywords(v any, pointer string) error {
	object, ok := v.(map[string]any)
	if !ok {
		return nil // true or false
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := pointer + "/" + name
		if !slices.Contains(keywords, name) {
			return fmt.Errorf("%s is no keyword", at)
		}
		var inner []any
		switch value := object[name].(type) {
		case map[string]any:
			if name != "properties" && name != "patternProperties" {
				inner = []any{value}
				break
			}
			inner = slices.Collect(maps.Values(value))
		case []any:
			if name == "allOf" || name == "anyOf" || name == "oneOf" {
				inner = value
			}
		}
		if name == "dependentRequired" || name == "default" || name == "const" {
			continue
		}
		for _, schema := range inner {
			if err := schemaKeywords(schema, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) contract() (*contract, error) {
	c := &contract{responses: map[string]*response{}}
	for _, s := range l.doc.Servers {
		c.prefixes = append(c.prefixes, s.URL)
	}
	for name := range l.doc.Components.Schemas {
		if _, err := l.compile("/components/schemas/" + name); err != nil {
			return nil, err
		}
	}
	var err error
	if c.errors, err = l.compile("/components/schemas/Error"); err != nil {
		return nil, err
	}
	for name, r := range l.doc.Components.Responses {
		loaded, err := l.response("/components/responses/"+name, r)
		if err != nil {
			return nil, err
		}
		c.responses[name] = loaded
	}
	for _, path := range slices.Sorted(maps.Keys(l.doc.Paths)) {
		p := l.doc.Paths[path]
		for method, o := range map[string]*operationObject{
			http.MethodGet: p.Get, http.MethodPost: p.Post, http.MethodPatch: p.Patch, http.MethodDelete: p.Delete,
		} {
			if o == nil {
				continue
			}
			pointer := "/paths/" + escape(path)
			loaded, err := l.operation(pointer, method, path, p.Parameters, o)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			c.operations = append(c.operations, loaded)
		}
	}
	c.examples = l.examples
	return c, nil
}

func (l *loader) operation(pointer, method, path string, shared []parameterObject, o *operationObject) (*operation, error) {
	loaded := &operation{name: method + " " + path, method: method, template: strings.Split(path, "/"), responses: map[int]*response{}}
	security := l.doc.Security
	if o.Security != nil {
		security = *o.Security
	}
	for _, scheme := range security {
		scopes, ok := scheme["apiKey"]
		if !ok || len(security) > 1 || l.doc.Components.SecuritySchemes["apiKey"] == nil {
			return nil, fmt.Errorf("security must be apiKey, which must be declared")
		}
		loaded.secured, loaded.scopes = true, scopes
	}
	if loaded.strict = o.UnknownParameters == "refused"; !loaded.strict && o.UnknownParameters != "" {
		return nil, fmt.Errorf("unknown parameters are refused or ignored, and not %s", o.UnknownParameters)
	}
	at := pointer + "/" + strings.ToLower(method)
	for place, list := range map[string][]parameterObject{pointer: shared, at: o.Parameters} {
		for i, p := range list {
			pointer := fmt.Sprint(place, "/parameters/", i)
			if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
				pointer, p = p.Ref[1:], l.doc.Components.Parameters[name]
			}
			schema, err := l.compile(pointer + "/schema")
			if err != nil {
				return nil, err
			}
			if err := p.checkStyle(schema); err != nil {
				return nil, err
			}
			l.example(pointer+"/example", schema, p.Example)
			loaded.parameters = append(loaded.parameters, parameter{
				name: p.Name, in: p.In, required: p.Required, commas: p.Explode != nil && !*p.Explode, schema: schema,
			})
		}
	}
	if o.RequestBody != nil {
		if !o.RequestBody.Required {
			return nil, fmt.Errorf("every body that is taken is required")
		}
		content, err := l.content(at+"/requestBody", o.RequestBody.Content)
		if err != nil {
			return nil, err
		}
		if loaded.body = content[jsonType]; loaded.body == nil || len(content) > 1 {
			return nil, fmt.Errorf("every body is JSON")
		}
	}
	for code, r := range o.Responses {
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, err
		}
		if loaded.responses[status], err = l.response(at+"/responses/"+code, r); err != nil {
			return nil, err
		}
	}
	return loaded, nil
}

// checkStyle refuses what the checker does not know how to read.
func (p *parameterObject) checkStyle(s *jsonschema.Schema) error {
	types := typesOf(s)
	switch {
	case p.Style != "" && p.Style != "form":
		return fmt.Errorf("%s: the style %s", p.Name, p.Style)
	case p.In != "query" && (slices.Contains(types, "array") || slices.Contains(types, "object")):
		return fmt.Errorf("%s: only parameters of a query have several values", p.Name)
	case p.Explode != nil && !*p.Explode && !slices.Contains(types, "array"):
		return fmt.Errorf("%s: only the values of an array are in one text", p.Name)
	case slices.Contains(types, "object") && s.PropertyNames == nil:
		return fmt.Errorf("%s: an object takes what its propertyNames say", p.Name)
	}
	return nil
}

func (l *loader) response(pointer string, r responseObject) (*response, error) {
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		there, known := l.doc.Components.Responses[name]
		if !known {
			return nil, fmt.Errorf("there is no %s", r.Ref)
		}
		pointer, r = r.Ref[1:], there
	}
	loaded := &response{headers: map[string]parameter{}}
	for name, h := range r.Headers {
		at := pointer + "/headers/" + name
		if shared, ok := strings.CutPrefix(h.Ref, "#/components/headers/"); ok {
			at, h = h.Ref[1:], l.doc.Components.Headers[shared]
		}
		schema, err := l.compile(at + "/schema")
		if err != nil {
			return nil, err
		}
		l.example(at+"/example", schema, h.Example)
		loaded.headers[http.CanonicalHeaderKey(name)] = parameter{name: name, in: "header", required: h.Required, schema: schema}
	}
	var err error
	loaded.content, err = l.content(pointer, r.Content)
	return loaded, err
}

// content returns what a body is made of.
func (l *loader) content(pointer string, media map[string]mediaObject) (content, error) {
	if len(media) == 0 {
		return nil, fmt.Errorf("%s must have a media type", pointer)
	}
	loaded := content{}
	for mediaType, m := range media {
		at := pointer + "/content/" + escape(mediaType)
		schema, err := l.compile(at + "/schema")
		if err != nil {
			return nil, err
		}
		loaded[mediaType] = schema
		if text, ok := m.Example.(string); ok && isCSV(mediaType) {
			t, err := readCSV([]byte(text), false)
			if err != nil {
				return nil, fmt.Errorf("%s/example: %w", at, err)
			}
			if columns := membersOf(itemsOf(schema), nil); !endsWith(t.columns, columns) {
				return nil, fmt.Errorf("%s/example does not have the columns %q", at, columns)
			}
			m.Example = t.lines
		}
		l.example(at+"/example", schema, m.Example)
		for name, e := range m.Examples {
			if shared, ok := strings.CutPrefix(e.Ref, "#/components/examples/"); ok {
				e = l.doc.Components.Examples[shared]
			}
			if e.Value == nil {
				return nil, fmt.Errorf("%s/examples/%s has no value", at, name)
			}
			l.example(at+"/examples/"+name, schema, e.Value)
		}
	}
	return loaded, nil
}

func (l *loader) example(pointer string, schema *jsonschema.Schema, value any) {
	if value != nil {
		l.examples = append(l.examples, example{at: pointer, schema: schema, value: value})
	}
}

func (l *loader) compile(pointer string) (*jsonschema.Schema, error) {
	// A pointer in a URL is escaped twice: once as a pointer, once as a fragment.
	return l.compiler.Compile(documentURL + "#" + (&url.URL{Fragment: pointer}).EscapedFragment())
}

// escape makes a name a part of a JSON pointer.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// TestDocument: what the document says of itself.
func TestDocument(t *testing.T) {
	c := documented(t)
	require.Equal(t, []string{"/v1", "/api/v1"}, c.prefixes)
	require.Greater(t, len(c.operations), 15)
	require.Greater(t, len(c.examples), 20)
	for _, e := range c.examples {
		value, err := asJSON(e.value)
		require.NoError(t, err, e.at)
		require.NoError(t, e.schema.Validate(value), e.at)
	}
}
