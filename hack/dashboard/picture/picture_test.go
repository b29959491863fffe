// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/hack/dashboard/panels"
)

// TestDraw: the picture is well formed, has every panel and the names of the series, and survives values that are none.
func TestDraw(t *testing.T) {
	drawn := Draw(func(panels.Query) []Series {
		return []Series{
			{Labels: map[string]string{"apiservice": "<v1beta1>"}, Times: []float64{0, 15, 30}, Values: []float64{1, math.NaN(), 3}},
			{},
		}
	})
	decoder := xml.NewDecoder(strings.NewReader(string(drawn)))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the SVG is not well formed: %v", err)
		}
	}
	for _, panel := range panels.All() {
		if !strings.Contains(string(drawn), ">"+panel.Title+"<") {
			t.Errorf("no panel %q", panel.Title)
		}
	}
	for text, want := range map[string]bool{"&lt;v1beta1&gt;": true, "NaN": false, "Inf": false} {
		if strings.Contains(string(drawn), text) != want {
			t.Errorf("the picture has %q: %t, want %t", text, !want, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, tc := range []struct {
		value float64
		unit  string
		want  string
	}{
		{math.NaN(), "s", "-"}, {64 << 20, "bytes", "64 MiB"}, {30 * 86400, "s", "30 days"}, {0.0123, "s", "12.3 ms"}, {90, "s", "90 s"},
		{0.254, "reqps", "0.25/s"}, {3, "none", "3"},
	} {
		if got := format(tc.value, tc.unit); got != tc.want {
			t.Errorf("%v %s: %q, want %q", tc.value, tc.unit, got, tc.want)
		}
	}
}
