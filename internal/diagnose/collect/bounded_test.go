// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestBounded: an answer as long as may be is read whole, and of a longer one no more than that and an error.
func TestBounded(t *testing.T) {
	const most = 2 << 20
	for name, test := range map[string]struct {
		length int
		says   string
	}{
		"empty":        {0, ""},
		"the longest":  {most, ""},
		"one too many": {most + 1, "the answer is longer than 2 MiB"},
		"far too many": {3 * most, "the answer is longer than 2 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", test.length)) // Who reads no more ends the connection.
			}))
			defer server.Close()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := boundedTo(server.Client(), most).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			read, err := io.ReadAll(response.Body)
			said := ""
			if err != nil {
				said = err.Error()
			}
			if len(read) != min(test.length, most) || said != test.says {
				t.Errorf("read %d bytes of %d, error %q", len(read), test.length, said)
			}
		})
	}
}
