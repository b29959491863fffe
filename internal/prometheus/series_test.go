// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
)

func TestMeets(t *testing.T) {
	const sample = `{"metric":{"kind":%q},"value":[1700000000,"3"]}`
	vector := func(samples string) string { return `{"resultType":"vector","result":[` + samples + `]}` }
	cpu, memory := fmt.Sprintf(sample, "cpu"), fmt.Sprintf(sample, "memory")
	demand := Demand{Query: "up", Kinds: []string{"cpu", "memory"}}
	for name, tc := range map[string]struct{ data, want string }{
		"all":     {vector(cpu + "," + memory), ""},
		"one":     {vector(memory), "it has no series for cpu"},
		"none":    {vector(""), "it has no series for cpu, memory"},
		"another": {vector(fmt.Sprintf(sample, "disk")), "it has no series for cpu, memory"},
	} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("query") != demand.Query {
				t.Errorf("%s: queried %q", name, r.FormValue("query"))
			}
			fmt.Fprintf(w, `{"status":"success","data":%s}`, tc.data)
		})
		err := Meets(t.Context(), server, Access{}, demand)
		var missing *MissingError
		if (err == nil) != (tc.want == "") || err != nil && (!errors.As(err, &missing) || err.Error() != tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"a number": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"3"]}}`)
		},
		"not found": http.NotFound,
	} {
		err := Meets(t.Context(), serve(t, handler), Access{}, demand)
		var unusable *UnusableError
		if !errors.As(err, &unusable) || unusable.Cause != NotPrometheus {
			t.Errorf("%s: %v", name, err)
		}
	}
}
