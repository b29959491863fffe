// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// sources is the digest of what the proof is about, from hack/verify-isolation.sh; without it the product is not tested.
var sources = flag.String("isolation", "", "digest to write into the proof of isolation")

const (
	notTested         = "is not tested: "
	isolationFile     = "isolation.txt"
	isolationPreamble = `# For each scenario and each fault of a component what says so, while all the rest is as without it: written by make
# test-isolation, never by hand. make verify fails when the sources are others than these.
`
)

// TestIsolation goes through each scenario with each fault of each component in place: all but the faulty component comes to what
// it would be without, the faulty one is not taken away, a condition names the fault, and when the fault ends everything is as
// without.
func TestIsolation(t *testing.T) {
	if *sources == "" {
		t.Skip("make test-isolation runs it, after a change of what keeps a fault in its component")
	}
	harness.NeedPodNetwork(t)
	var mutex sync.Mutex
	var proof []string
	note := func(f componentFault, s scenario, faulty, outcome string) {
		mutex.Lock()
		defer mutex.Unlock()
		proof = append(proof, fmt.Sprintf("%s: %s in %s -> %s\n", s.name, f.name, faulty, outcome))
	}
	complete := t.Run("product", func(t *testing.T) {
		for _, f := range componentFaults() {
			for _, s := range scenarios() {
				t.Run(f.name+" in "+s.name, func(t *testing.T) {
					begin(t).isolatesIn(f, s, func(faulty, outcome string) { note(f, s, faulty, outcome) })
				})
			}
		}
	})
	if run := flag.Lookup("test.run"); !complete || strings.Contains(run.Value.String(), "/") { // A run of some subtests is no proof.
		return
	}
	slices.Sort(proof)
	content := isolationPreamble + "sources sha256:" + *sources + "\n" + strings.Join(proof, "")
	if err := os.WriteFile(isolationFile, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// meaningless returns why a fault of a component says nothing in a scenario; empty where it does.
func meaningless(f componentFault, s scenario, faulty string) string {
	switch {
	case f.only != "" && f.only != faulty:
		return "only " + f.only + " can have it"
	case s.name == managing.name && f.only == harness.Adapter:
		return "the spec has nothing to present to the Prometheus of the operator"
	case f.unrenewed && s.renews:
		return "the scenario is about the operator's own authority, and with cert-manager there is none"
	case s.name == switchBackend && faulty == harness.Adapter:
		return "the scenario moves an API to that component, and while it is faulty the API stays where it is: TestSwitch shows that"
	case f.unrenewed && s.name == rotateServing && faulty == metricsServer:
		return "the scenario takes away the one certificate that the fault leaves to the component"
	}
	return ""
}

// possible is true where there is what a fault is about.
func (f componentFault) possible(in snapshot, faulty string) bool {
	return in[f.kind+" "+harness.InOperatorNamespace(faulty).String()] != ""
}

// isolatesIn goes through a scenario without the fault, and then with it in each component. Rules are added where a spec has none,
// so that there are two components.
func (w *world) isolatesIn(f componentFault, s scenario, note func(faulty, outcome string)) {
	w.Helper()
	components := slices.DeleteFunc([]string{harness.MetricsServer, harness.Adapter}, func(component string) bool {
		why := meaningless(f, s, component)
		if why != "" {
			note(component, notTested+why)
		}
		return why != ""
	})
	if len(components) == 0 {
		return
	}
	if !s.bare {
		w.edits = append(w.edits, orElse(largeSpec))
	}
	if f.unrenewed {
		w.edits = append(w.edits, orElse("certificates: {provider: CertManager}"))
		w.issuing()
		f.edit = nil // Who issues is up to the scenario.
	}
	begin, end, _ := w.undisturbed(s)
	for _, faulty := range components {
		if !f.possible(begin, faulty) && !f.possible(end, faulty) {
			note(faulty, notTested+"there is no "+f.kind+", neither before nor after")
			continue
		}
		w.Run(faulty, func(t *testing.T) {
			w.within(t)
			inject(t, "another component's fault, in each scenario", 1, func() { note(faulty, w.survives(f, s, faulty, begin, end)) })
		})
	}
}

// orElse gives a spec the fields of another one that it lacks.
func orElse(fields string) specEdit {
	return func(spec map[string]any) {
		more := map[string]any{}
		if err := yaml.Unmarshal([]byte(fields), &more); err != nil {
			panic(err) // It is a constant.
		}
		for field, value := range more {
			if spec[field] == nil {
				spec[field] = value
			}
		}
	}
}

// survives goes through a scenario with a fault in place, and returns what it found.
func (w *world) survives(f componentFault, s scenario, faulty string, begin, end snapshot) string {
	w.Helper()
	about := fmt.Sprintf("%s with %s in %s", s.name, f.name, faulty)
	w.prepare(s, begin)
	stop := w.spoil(f, faulty)
	if s.spec != "" {
		w.apply(s.spec)
	}
	if f.possible(begin, faulty) {
		w.eventually(func() string { return w.named(f, faulty) })
	}
	before := map[string]string{}
	for component := range otherThan {
		before[component] = w.certificateOf(component)
	}
	w.do(s, 0)
	if !f.possible(end, faulty) {
		w.reaches(end, about+", which ends with the "+f.kind)
		return "the " + f.kind + " goes, and the fault with it"
	}
	w.eventually(func() string {
		if missing := w.isolated(faulty, begin, end); missing != "" {
			return about + ": " + missing
		}
		for component, certificate := range before {
			if missing := w.renewed(component, certificate); s.renews && missing != "" {
				return about + ": " + missing
			}
		}
		if s.unready { // It is about what leaves no plan, and so no fault to name.
			return ""
		}
		return w.named(f, faulty)
	})
	w.judge(100 * time.Millisecond)
	stop()
	if s.unready {
		w.kill() // Nothing is repaired in what is going; the next life begins anew with what was given up.
		return "stays as it is, since all of it goes"
	}
	w.again()
	w.reaches(end, about+", corrected")
	return f.condition
}

// isolated returns what is missing until all but the faulty component is what it is at the end without the fault, and the faulty
// one has what it has both at the begin and at the end.
func (w *world) isolated(faulty string, begin, end snapshot) string {
	w.Helper()
	if pipeline, exists := w.pipeline(); exists && !current(pipeline) {
		return "the status is about an earlier spec"
	}
	if !w.life.quiet(longCalm) {
		return "the operator is busy"
	}
	now := w.snapshot()
	if differs := end.without(faulty).differs(now.without(faulty)); differs != "" {
		return "what is not " + faulty + " does not stand as without the fault: " + differs
	}
	if differs := end.statusOf(otherThan[faulty]).differs(now.statusOf(otherThan[faulty])); differs != "" {
		return "the status of the other component is not that without the fault: " + differs
	}
	for _, id := range slices.Sorted(maps.Keys(begin)) {
		if end[id] != "" && now[id] == "" && id != "Secret "+harness.InOperatorNamespace(certs.IssuedSecret(faulty)).String() {
			return id + " was taken away"
		}
	}
	served := now.served()
	for api := range begin.served() {
		if end.served()[api] && !served[api] {
			return api + " is not available any more"
		}
	}
	return ""
}

// without returns the objects that do not belong to a component.
func (s snapshot) without(component string) snapshot {
	others := snapshot{}
	for id, content := range s {
		object := unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(content), &object.Object); err != nil {
			panic(err) // It was written by normal.
		}
		if id != statusID && object.GetLabels()[v1alpha1.ComponentLabel] != component {
			others[id] = content
		}
	}
	return others
}

// status returns that of the pipeline; an empty one where there is none.
func (s snapshot) status() v1alpha1.MetricsPipelineStatus {
	status := v1alpha1.MetricsPipelineStatus{}
	if content := s[statusID]; content != "" {
		if err := json.Unmarshal([]byte(content), &status); err != nil {
			panic(err) // It was written by normalStatus.
		}
	}
	return status
}

// statusOf returns what the status says of a component, its metrics APIs and its certificate.
func (s snapshot) statusOf(component string) snapshot {
	of, status := snapshot{}, s.status()
	for _, entry := range status.Components {
		if entry.Name == component {
			of["component"] = asJSON(entry)
		}
	}
	for _, entry := range status.APIServices {
		if entry.Backend == component || harness.Serves(component, entry.Name) && !harness.Serves(otherThan[component], entry.Name) {
			of[entry.Name] = asJSON(entry)
		}
	}
	for _, entry := range status.Certificates {
		if strings.HasPrefix(entry.Name, component) {
			of["certificate"] = asJSON(entry)
		}
	}
	return of
}

func asJSON(value any) string {
	content, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		panic(err) // The API server sends the same.
	}
	return string(content)
}

// served are the metrics APIs that are available, whoever serves them.
func (s snapshot) served() map[string]bool {
	served := map[string]bool{}
	for _, api := range s.status().APIServices {
		served[api.Name] = api.Available == metav1.ConditionTrue
	}
	return served
}
