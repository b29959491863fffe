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
)

const (
	mostParams      = 16
	longestParam    = 256
	longestPortName = 63
	// mostPorts of an app are read.
	mostPorts = 100
)

// parts are the annotations that say how to scrape: how many bytes a value may have, and how it is read.
var parts = []struct {
	name string
	most int
	read func(*Request, string) string
}{
	{annotationPort, longestPortName, readPort}, {annotationPath, 2048, readPath}, {annotationScheme, 16, readScheme},
}

var (
	yes        = anchored(patternYes)
	portNumber = anchored(patternPortNumber)
	portName   = anchored(patternPortName)
	pathOnly   = anchored(patternPath)
	httpScheme = anchored(patternHTTP)
	tlsScheme  = anchored(patternTLS)
	paramText  = anchored(`[\x20-\x23\x25-\x7e]*`)
)

func anchored(pattern string) *regexp.Regexp { return regexp.MustCompile("^(?:" + pattern + ")$") }

// Request is what an app's annotations request, beside the path and the scheme: those the relabelings alone read.
type Request struct {
	// PortNumber is 1 to 65535, or 0 where the annotation is a name or absent.
	PortNumber int32
	// PortName is empty where the annotation is a number or absent.
	PortName string
	// Params are the parameters of the path's query; nil for none.
	Params url.Values
}

// Rejection is why an app's annotations are not honored. It names the annotation and its value.
type Rejection struct{ Reason string }

func (r *Rejection) Error() string { return r.Reason }

func reject(format string, values ...any) *Rejection {
	return &Rejection{fmt.Sprintf(format, values...)}
}

// Wanted is true when the annotations request scraping: scrape is true, yes, on or 1 in any case. Anything else, such as an
// empty value, is no.
func Wanted(prefix string, annotations map[string]string) bool {
	return yes.MatchString(annotations[prefix+"/"+annotationScrape])
}

// Annotation is one that the grammar reads, by its name below the prefix.
type Annotation struct{ Name, Value string }

// Kept returns copies of the annotations that the grammar reads, bounded in size: a value that is too long is cut to a length that is
// still too long. It is nil where they do not request scraping.
func Kept(prefix string, annotations map[string]string) []Annotation {
	if !Wanted(prefix, annotations) {
		return nil
	}
	kept := []Annotation{{annotationScrape, "true"}}
	for _, part := range parts {
		if value, stated := annotations[prefix+"/"+part.name]; stated {
			kept = append(kept, Annotation{part.name, strings.Clone(value[:min(len(value), max(part.most, longestValue)+1)])})
		}
	}
	return slices.Clip(kept)
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
		if len(value) > part.most {
			problem = fmt.Sprintf("write at most %d characters", part.most)
		} else {
			problem = part.read(&request, value)
		}
		if problem != "" {
			return Request{}, reject("annotation %s is %q: %s", key, text.Shorten(value, longestValue), problem)
		}
	}
	return request, nil
}

// readPort reads the number or the name of a port.
func readPort(request *Request, value string) string {
	if portNumber.MatchString(value) {
		number, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return err.Error()
		}
		request.PortNumber = int32(number)
		return ""
	}
	if portName.MatchString(value) {
		request.PortName = value
		return ""
	}
	return "write the number of a port, 1 to 65535 without leading zeros, or its name"
}

// readPath accepts a path, with or without a leading slash, and reads its query.
func readPath(request *Request, value string) string {
	path, query, hasQuery := strings.Cut(value, "?")
	if !pathOnly.MatchString(path) {
		return "write a path of at most 512 letters, digits and ._~!&'()*+,;=:@/- such as /metrics"
	}
	if !hasQuery {
		return ""
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return "what follows the question mark is no query: " + err.Error()
	}
	count := 0
	for name, values := range params {
		for _, text := range append([]string{name}, values...) {
			if len(text) > longestParam || !paramText.MatchString(text) {
				return "the names and values of a query are at most 256 printable ASCII characters without a dollar"
			}
		}
		if name == "" {
			return "a parameter of the query has no name"
		}
		count += len(values)
	}
	if count > mostParams {
		return "a query has at most 16 parameters"
	}
	if count > 0 {
		request.Params = params
	}
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
