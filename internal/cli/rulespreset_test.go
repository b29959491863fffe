// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
	"github.com/metricspipeline/operator/internal/presets"
)

// TestRulesPreset: each rule that is written can be applied, and what is to be known of it is said.
func TestRulesPreset(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{})
	w.run(t, ExitWorks, "rules", "preset")
	golden(t, "rules/presets.out", w.out.String())
	for _, preset := range presets.All {
		w.run(t, ExitWorks, "rules", "preset", preset.Name)
		golden(t, "rules/preset-"+preset.Name+".out", w.out.String())
		for _, note := range preset.Notes {
			if !strings.Contains(w.errOut.String(), "note: "+note+"\n") {
				t.Errorf("%s: standard error has %q, want %q", preset.Name, w.errOut, note)
			}
		}
		written := v1alpha1.MetricsPipeline{}
		if err := yaml.UnmarshalStrict(w.out.Bytes(), &written); err != nil {
			t.Fatal(err)
		}
		found, err := rules.Of(written.Spec)[0].Check(builtInKinds(), v1alpha1.DialectPromQL)
		var unserved *rules.UnservedError // Gateway API is not built into Kubernetes.
		if err != nil && !errors.As(err, &unserved) || len(found.Defects) > 0 {
			t.Errorf("the operator would not take %s: %v %v", preset.Name, err, found.Defects)
		}
	}
}

func TestRulesPresetFlags(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{})
	w.run(t, ExitWorks, "rules", "preset", "ingress-nginx", "-n", "edge", "--metric", "requests-per-second", "--scrape-interval", "1m")
	for _, want := range []string{`namespace="edge"`, "as: requests-per-second", "[4m]"} {
		if !strings.Contains(w.out.String(), want) {
			t.Errorf("it writes %q, want %q", w.out, want)
		}
	}
	if !strings.Contains(w.errOut.String(), "namespace edge") {
		t.Errorf("standard error has %q", w.errOut)
	}
	for want, arguments := range map[string][]string{
		"one name of envoy-gateway, haproxy,":     {"nginx"},
		`not "istio traefik"`:                     {"istio", "traefik"},
		`--namespace is "edge\"} or up{x=\"",`:    {"istio", "-n", `edge"} or up{x="`},
		`--metric is "${1}"`:                      {"istio", "--metric", "${1}"},
		"--scrape-interval is 0s: set it to":      {"istio", "--scrape-interval", "0s"},
		"--scrape-interval is 1.5s: set it to wh": {"istio", "--scrape-interval", "1500ms"},
	} {
		w := newWorld(t, interceptor.Funcs{}) // The flags of kubectl keep what they were set to.
		w.run(t, ExitUsage, append([]string{"rules", "preset"}, arguments...)...)
		if !strings.Contains(w.errOut.String(), want) || w.out.Len() > 0 {
			t.Errorf("%q: standard error has %q, want %q", arguments, w.errOut, want)
		}
	}
	w.run(t, ExitWorks, "__complete", "rules", "preset", "")
	if !strings.HasPrefix(w.out.String(), "envoy-gateway\nhaproxy\n") {
		t.Errorf("the name completes to %q", w.out)
	}
}
