// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scrape turns annotations of Services and Pods into monitors of prometheus-operator. It is pure. Annotations are
// data: they choose port, path and scheme within a grammar, and nothing else. The relabelings of the monitors, which read the
// same annotations long after this code has run, drop what the grammar rejects.
package scrape

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/metricspipeline/operator/internal/text"
)

// Names of the annotations below the prefix. Others below it are ignored.
const (
	annotationScrape = "scrape"
	annotationPort   = "port"
	annotationPath   = "path"
	annotationScheme = "scheme"
	// annotationSlow is that of the chart of Prometheus: such an app is scraped, and less often than others.
	annotationSlow = "scrape-slow"
	// annotationParam is what the names of annotations begin with that are parameters of the URL.
	annotationParam = "param_"
)

// The grammar as anchored regular expressions (RE2), which the parser and the relabelings share.
const (
	patternYes        = `(?i:true|yes|on|1)`
	patternPortNumber = `(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])`
	patternPortName   = `[a-z0-9-]*[a-z][a-z0-9-]*`
	// A path has no percent sign, which would be escaped again, and no second slash at its start. Neither it nor a query has a
	// dollar: prometheus-operator's config-reloader replaces $(VAR) anywhere in the configuration by a variable of its environment.
	patternPath  = `/?(?:[A-Za-z0-9._~!&'()*+,;=:@-][A-Za-z0-9._~!&'()*+,;=:@/-]{0,511})?`
	patternQuery = `\?[^$]*`
	patternHTTP  = `(?i:http)`
	patternTLS   = `(?i:https)`
	// A list of ports has at least two.
	patternPort      = `(?:` + patternPortNumber + `|` + patternPortName + `)`
	patternPortList  = patternPort + `(?: ?, ?` + patternPort + `){1,7}`
	patternParamName = `[a-zA-Z_][a-zA-Z0-9_]*`
)

const (
	mostParams      = 16
	longestParam    = 256
	longestPortName = 63
	// mostListed is how many ports an annotation lists at most, as patternPortList says, and longestPortList how long that is.
	mostListed      = 8
	longestPortList = 600
	// mostPorts of an app are read.
	mostPorts = 100
)

// parts are the annotations that say how to scrape: how many bytes a value may have, and how it is read.
var parts = []part{{annotationPort, longestPortName, readPort}, {annotationPath, 2048, readPath}, {annotationScheme, 16, readScheme}}

// part is one of them.
type part struct {
	name string
	most int
	read func(*Request, string) string
}

// longest returns how many bytes a value may have.
func (p part) longest(value string) int {
	if p.name == annotationPort && strings.Contains(value[:min(len(value), longestPortName+2)], ",") {
		return longestPortList
	}
	return p.most
}

var (
	yes        = anchored(patternYes)
	paramName  = anchored(patternParamName)
	portNumber = anchored(patternPortNumber)
	portName   = anchored(patternPortName)
	portList   = anchored(patternPortList)
	pathOnly   = anchored(patternPath)
	httpScheme = anchored(patternHTTP)
	tlsScheme  = anchored(patternTLS)
	paramText  = anchored(`[\x20-\x23\x25-\x7e]*`)
)

func anchored(pattern string) *regexp.Regexp { return regexp.MustCompile("^(?:" + pattern + ")$") }

// Request is what an app's annotations request, beside the path and the scheme: those the relabelings alone read.
type Request struct {
	// Ports are those that the annotation names, each once; none where it is absent.
	Ports []RequestedPort
	// Listed is true where the annotation is a list of ports.
	Listed bool
	// Params are the parameters of the path's query and of annotations; nil for none.
	Params url.Values
	// query is that of the path, as it is written, and stated are the parameters of annotations alone.
	query  string
	stated url.Values
}

// RequestedPort is a port that an annotation names, by its number or its name.
type RequestedPort struct {
	// Number is 1 to 65535, or 0 where Name is not empty.
	Number int32
	Name   string
}

// Rejection is why an app's annotations are not honored. It names the annotation and its value.
type Rejection struct{ Reason string }

func (r *Rejection) Error() string { return r.Reason }

func reject(format string, values ...any) *Rejection {
	return &Rejection{fmt.Sprintf(format, values...)}
}

// Wanted is true when the annotations request scraping: scrape or scrape-slow is true, yes, on or 1 in any case. Anything else, such
// as an empty value, is no.
func Wanted(prefix string, annotations map[string]string) bool {
	return yes.MatchString(annotations[prefix+"/"+annotationScrape]) || slow(prefix, annotations)
}

// slow is true when the annotations request to be scraped less often.
func slow(prefix string, annotations map[string]string) bool {
	return yes.MatchString(annotations[prefix+"/"+annotationSlow])
}

// Annotation is one that the grammar reads, by its name below the prefix.
type Annotation struct{ Name, Value string }

// Kept returns copies of the annotations that the grammar reads, bounded in size: a value that is too long is cut to a length that is
// still too long. It is nil where they do not request scraping.
func Kept(prefix string, annotations map[string]string) []Annotation {
	if !Wanted(prefix, annotations) {
		return nil
	}
	var kept []Annotation
	for _, name := range []string{annotationScrape, annotationSlow} {
		if yes.MatchString(annotations[prefix+"/"+name]) {
			kept = append(kept, Annotation{name, "true"})
		}
	}
	for _, part := range parts {
		if value, stated := annotations[prefix+"/"+part.name]; stated {
			kept = append(kept, Annotation{part.name, cut(value, part.longest(value))})
		}
	}
	params := paramsIn(prefix, annotations)
	for _, name := range params[:min(len(params), mostParams+1)] {
		value := annotations[prefix+"/"+annotationParam+name]
		kept = append(kept, Annotation{annotationParam + name, cut(value, longestParam)})
	}
	return slices.Clip(kept)
}

// cut copies a value, bounded so that it is still too long where it is, and that a message repeats as much of it.
func cut(value string, most int) string {
	return strings.Clone(value[:min(len(value), max(most, longestValue)+1)])
}

// Under returns kept annotations as they were under a prefix.
func Under(prefix string, kept []Annotation) map[string]string {
	annotations := make(map[string]string, len(kept))
	for _, annotation := range kept {
		annotations[prefix+"/"+annotation.Name] = annotation.Value
	}
	return annotations
}

// Parse reads the annotations of an app that is annotated for scraping.
func Parse(prefix string, annotations map[string]string) (Request, *Rejection) {
	var request Request
	for _, part := range parts {
		key := prefix + "/" + part.name
		value, stated := annotations[key]
		if !stated {
			continue
		}
		problem := ""
		if most := part.longest(value); len(value) > most {
			problem = fmt.Sprintf("write at most %d characters", most)
		} else {
			problem = part.read(&request, value)
		}
		if problem != "" {
			return Request{}, reject("annotation %s is %q: %s", key, text.Shorten(value, longestValue), problem)
		}
	}
	if rejection := readParams(&request, prefix, annotations); rejection != nil {
		return Request{}, rejection
	}
	return request, nil
}

// readPort reads the numbers and names of ports.
func readPort(request *Request, value string) string {
	listed := strings.Split(value, ",")
	request.Listed = len(listed) > 1
	switch {
	case len(listed) > mostListed:
		return fmt.Sprintf("a list has at most %d ports; write a monitor of your own for more", mostListed)
	case request.Listed && !portList.MatchString(value):
		return wayOfPorts
	}
	for _, stated := range listed {
		port, problem := readOnePort(trimmed(stated, request.Listed))
		if problem != "" {
			return problem
		}
		if !slices.Contains(request.Ports, port) {
			request.Ports = append(request.Ports, port)
		}
	}
	return ""
}

// trimmed takes the spaces off that a list may have.
func trimmed(stated string, listed bool) string {
	if listed {
		return strings.Trim(stated, " ")
	}
	return stated
}

const wayOfPorts = "write the number of a port, 1 to 65535 without leading zeros, or its name, or a list such as 8080,9090; " +
	"without the annotation every declared port is scraped"

func readOnePort(value string) (RequestedPort, string) {
	switch {
	case len(value) > longestPortName:
		return RequestedPort{}, fmt.Sprintf("write at most %d characters", longestPortName)
	case portNumber.MatchString(value):
		number, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return RequestedPort{}, err.Error()
		}
		return RequestedPort{Number: int32(number)}, ""
	case portName.MatchString(value):
		return RequestedPort{Name: value}, ""
	}
	return RequestedPort{}, wayOfPorts
}

// mergeKey is the one name that a file of YAML cannot have for a key, unless it is quoted, which writers of YAML do not know.
const mergeKey = "<<"

// readPath accepts a path, with or without a leading slash, and reads its query.
func readPath(request *Request, value string) string {
	path, query, hasQuery := strings.Cut(value, "?")
	if !pathOnly.MatchString(path) {
		return "write a path of at most 512 letters, digits and ._~!&'()*+,;=:@/- such as /metrics"
	}
	if !hasQuery {
		return ""
	}
	request.query = "?" + query
	params, err := url.ParseQuery(query)
	if err != nil {
		return "what follows the question mark is no query: " + err.Error()
	}
	for name, values := range params {
		for _, text := range append([]string{name}, values...) {
			if !isParam(text) {
				return "the names and values of a query are at most 256 printable ASCII characters without a dollar"
			}
		}
		if name == "" {
			return "a parameter of the query has no name"
		}
		if name == mergeKey {
			return "a parameter of the query is named " + mergeKey + ", which YAML reads as a merge of maps: Prometheus would refuse its " +
				"configuration"
		}
	}
	switch count := countParams(params); {
	case count == 0:
		return "the query has no parameter; leave the question mark out"
	case count > mostParams:
		return "a query has at most 16 parameters"
	}
	request.Params = params
	return ""
}

// readScheme accepts http or https.
func readScheme(_ *Request, value string) string {
	if tlsScheme.MatchString(value) || httpScheme.MatchString(value) {
		return ""
	}
	return "write http or https"
}

// longestValue is how much of a value a message repeats, in bytes.
const longestValue = 83
