// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/internal/text"
)

// paramsIn returns the names of the parameters among annotations, sorted.
func paramsIn(prefix string, annotations map[string]string) []string {
	var names []string
	for key := range annotations {
		if name, is := strings.CutPrefix(key, prefix+"/"+annotationParam); is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func isParam(text string) bool { return len(text) <= longestParam && paramText.MatchString(text) }

func countParams(params url.Values) int {
	count := 0
	for _, values := range params {
		count += len(values)
	}
	return count
}

// readParams reads the annotations that are parameters, and adds them to those of the path's query.
func readParams(request *Request, prefix string, annotations map[string]string) *Rejection {
	names := paramsIn(prefix, annotations)
	if len(names) == 0 {
		return nil
	}
	if len(names)+countParams(request.Params) > mostParams {
		return reject("annotations %s/%sNAME and the query of %s/%s: an app has at most %d parameters; leave some out",
			prefix, annotationParam, prefix, annotationPath, mostParams)
	}
	request.stated, request.Params = url.Values{}, maps.Clone(request.Params)
	if request.Params == nil {
		request.Params = url.Values{}
	}
	for _, name := range names {
		key := prefix + "/" + annotationParam + name
		value := annotations[key]
		if !paramName.MatchString(name) {
			return reject("annotation %s is %q: the name of a parameter is letters, digits and _, and begins with no digit; write any "+
				"other into the query of %s/%s", key, text.Shorten(value, longestValue), prefix, annotationPath)
		}
		if value == "" || !isParam(value) {
			return reject("annotation %s is %q: write 1 to %d printable ASCII characters without a dollar",
				key, text.Shorten(value, longestValue), longestParam)
		}
		request.stated.Add(name, value)
		request.Params[name] = append(slices.Clone(request.Params[name]), value)
	}
	return nil
}
