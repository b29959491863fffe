// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// TestName leaves names of objects as they are, and quotes what no object is called.
func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"web":                        "web",
		"Deployment web":             "Deployment web",
		"apps/v1":                    "apps/v1",
		"":                           `""`,
		" web":                       `" web"`,
		"web\nEvents:":               `"web\nEvents:"`,
		`web" is fine; "`:            `"web\" is fine; \""`,
		"wéb":                        `"wéb"`,
		"web\u202e":                  `"web\u202e"`,
		"${web}":                     `"${web}"`,
		strings.Repeat("web", 40):    strings.Repeat("web", 25) + "we...",
		strings.Repeat("x y\n", 200): `"` + strings.Repeat(`x y\n`, 19) + `x..."`,
	} {
		if got := name(in); got != want {
			t.Errorf("name(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "It is.": "It is.", "it is": "it is.", " it\n\tis \x00": "it is.", strings.Repeat("it ", 200): strings.Repeat("it ", 105) + "it...",
	} {
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestSpeaksOfItsOwnNamespace: what the evidence has of objects of other namespaces is in no sentence, whatever is broken.
func TestSpeaksOfItsOwnNamespace(t *testing.T) {
	for _, tc := range brokenCases() {
		evidence := healthy([]autoscalingv2.MetricSpec{tc.metric}, 0)
		tc.change(evidence)
		api := &evidence.Metrics[0].API
		api.Owner, api.Message = "Helm (Service elsewhere/adapter)", "endpoints of elsewhere/adapter"
		if evidence.Metrics[0].Series.Unreachable != "" {
			evidence.Metrics[0].Series.Unreachable = "Get http://prometheus.elsewhere.svc: refused"
		}
		said, err := json.Marshal(Examine(evidence))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(said), "elsewhere") {
			t.Errorf("%s: %s", tc.name, said)
		}
	}
}

// TestSaysWhatIs: a sentence says what was found, and leaves no doubt to the reader.
func TestSaysWhatIs(t *testing.T) {
	content, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		for _, doubt := range []string{"heck that", "ake sure", " may ", " might ", "possibly", "perhaps", "probably", "Please"} {
			if strings.HasPrefix(line, "> ") && strings.Contains(line, doubt) {
				t.Errorf("%q is in %s", doubt, line)
			}
		}
	}
}
