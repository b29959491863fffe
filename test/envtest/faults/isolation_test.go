// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// componentFault is something wrong with one component.
type componentFault struct {
	name string
	// only is the one component that can have it; empty for each.
	only string
	// kind is that of the component's object that it is about: where there is none, the fault is none.
	kind string
	// edit makes the mistake in a spec; nil where the spec is right.
	edit func(faulty string) specEdit
	// put puts in place what is wrong besides, and returns what ends it; nil for nothing.
	put func(w *world, faulty string) (end func())
	// condition is False meanwhile, and its message names what is wrong: the component, or where that is not empty, names.
	condition, names string
	// unrenewed is true for a fault that is about the certificate of the faulty component itself.
	unrenewed bool
}

func componentFaults() []componentFault {
	patch := func(patch string) func(string) specEdit {
		return func(faulty string) specEdit {
			return func(spec map[string]any) {
				patches, _ := spec["patches"].([]any)
				spec["patches"] = append(patches, map[string]any{
					"target": map[string]any{"kind": "Deployment", "name": faulty}, "patch": patch})
			}
		}
	}
	return []componentFault{
		{name: "bad patch", kind: "Deployment", condition: v1alpha1.ConditionComponentsReady,
			edit: patch(`[{"op": "replace", "path": "/spec/nothing/here", "value": 1}]`)},
		{name: "refused apply", kind: "Deployment", condition: v1alpha1.ConditionComponentsReady,
			edit: patch(`{"spec": {"template": {"spec": {"priorityClassName": "NOT_A_NAME"}}}}`)},
		{name: "missing credential", only: harness.Adapter, kind: "Deployment", condition: v1alpha1.ConditionPrometheusReady, names: "absent",
			edit: func(string) specEdit {
				return func(spec map[string]any) {
					spec["prometheus"].(map[string]any)["auth"] = map[string]any{"bearerToken": map[string]any{"name": "absent", "key": "a"}}
				}
			}},
		{name: "certificate not issued", kind: "Certificate", condition: v1alpha1.ConditionCertificatesReady, unrenewed: true,
			edit: func(string) specEdit { return fromCertManager },
			put: func(w *world, faulty string) func() {
				w.issuer.withhold(faulty)
				w.issuing()
				secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: certs.IssuedSecret(faulty)}}
				w.must(client.IgnoreNotFound(w.Client.Delete(w.Ctx, secret)))
				return func() { w.issuer.withhold("") }
			}},
		{name: "contested", kind: "PodDisruptionBudget", condition: v1alpha1.ConditionComponentsReady, put: func(w *world, faulty string) func() {
			budget := harness.Configuration("policy/v1", "PodDisruptionBudget", harness.OperatorNamespace, faulty,
				map[string]any{"minAvailable": int64(0)})
			stop, err := w.StartRival(w.Ctx, budget)
			w.must(err)
			return stop
		}},
	}
}

// fromCertManager has cert-manager issue.
func fromCertManager(spec map[string]any) {
	spec["certificates"] = map[string]any{"provider": "CertManager"}
}

// otherThan is the other component.
var otherThan = map[string]string{harness.MetricsServer: harness.Adapter, harness.Adapter: harness.MetricsServer}

// TestAnotherComponentsFault: what is wrong with one component is no business of the other, which is repaired and whose
// certificate is renewed, nor does it take the faulty one away: that is put back in its last good form, its certificate renewed.
// The operator that does so remembers nothing of the time before the fault.
func TestAnotherComponentsFault(t *testing.T) {
	for _, f := range componentFaults() {
		for faulty := range otherThan {
			if f.only != "" && f.only != faulty {
				continue
			}
			t.Run(f.name+": "+faulty, func(t *testing.T) {
				w := begin(t)
				inject(t, "another component's fault", 1, func() { w.isolates(f, faulty) })
			})
		}
	}
}

// isolates brings everything up, puts the fault in place, restarts the operator, deletes both Deployments and lets both
// certificates come due.
func (w *world) isolates(f componentFault, faulty string) {
	w.Helper()
	other := otherThan[faulty]
	if !f.unrenewed {
		w.clock.SetTime(time.Now().Add(-250 * 24 * time.Hour)) // Certificates of this time are good today, and due.
	}
	w.start()
	w.apply(goodSpec)
	w.life.stir()
	good := w.settle()

	builtIn := w.certificateOf(other)
	end := w.spoil(f, faulty)
	w.apply(goodSpec)
	if f.unrenewed {
		w.eventually(func() string { return w.renewed(other, builtIn) })
	}
	w.eventually(func() string { return w.named(f, faulty) })
	issued := map[string]string{faulty: w.certificateOf(faulty), other: w.certificateOf(other)}
	w.kill()
	w.start()
	w.eventually(func() string {
		if w.Operator.Reconciles() == 0 {
			return "the operator has not begun again"
		}
		return ""
	})
	for _, component := range []string{faulty, other} {
		w.must(w.Client.Delete(w.Ctx, deploymentOf(component)))
	}
	w.clock.SetTime(time.Now())
	if f.unrenewed {
		w.deleteSecret(certs.IssuedSecret(other)) // An issuer renews by itself.
	} else {
		w.poke()
	}

	for _, component := range []string{other, faulty} {
		w.eventually(func() string {
			missing := w.repaired(component, good)
			if missing == "" && (component == other || !f.unrenewed) {
				missing = w.renewed(component, issued[component])
			}
			return missing
		})
	}
	w.eventually(func() string { return w.named(f, faulty) })
	w.judge(100 * time.Millisecond)

	end()
	w.again()
	w.reaches(good, f.name+" in "+faulty+", corrected")
}

// spoil puts a fault in place, in what specs are applied from now on and besides, and returns what ends it; the end of the test
// does as well.
func (w *world) spoil(f componentFault, faulty string) (end func()) {
	w.Helper()
	right, stop := w.edits, func() {}
	if f.put != nil {
		stop = f.put(w, faulty)
	}
	if f.edit != nil {
		w.edits = append(slices.Clone(right), f.edit(faulty))
	}
	end = sync.OnceFunc(func() {
		stop()
		w.edits = right
	})
	w.Cleanup(end)
	return end
}

// again applies the spec in another generation, so that what was given up is tried again.
func (w *world) again() {
	w.Helper()
	w.apply(w.applied, func(spec map[string]any) {
		scrape, _ := spec["scrape"].(map[string]any)
		scrape = maps.Clone(scrape)
		if scrape == nil {
			scrape = map[string]any{}
		}
		scrape["interval"] = "45s"
		spec["scrape"] = scrape
	})
	w.apply(w.applied)
}

// named returns what is missing until the status is about the present spec, and the condition of a fault is False and names it.
func (w *world) named(f componentFault, faulty string) string {
	w.Helper()
	pipeline, _ := w.pipeline()
	found := apimeta.FindStatusCondition(pipeline.Status.Conditions, f.condition)
	if current(pipeline) && found != nil && found.Status == metav1.ConditionFalse && strings.Contains(found.Message, cmp.Or(f.names, faulty)) {
		return ""
	}
	return fmt.Sprintf("%s is not False about generation %d, with the name of what is wrong: %+v", f.condition, pipeline.Generation, found)
}

// repaired returns what is missing until a component's Deployment is again as it was, and the APIs of the component answer.
func (w *world) repaired(component string, good snapshot) string {
	w.Helper()
	id := harness.Identity(deploymentOf(component))
	if differs := (snapshot{id: good[id]}).differs(snapshot{id: w.snapshot()[id]}); differs != "" {
		return "it is not as it was: " + differs
	}
	pipeline, _ := w.pipeline()
	served := 0
	for _, api := range pipeline.Status.APIServices {
		if api.Backend == component && api.Available == metav1.ConditionTrue {
			served++
		}
	}
	if served == 0 {
		return fmt.Sprintf("%s serves no API: %+v", component, pipeline.Status.APIServices)
	}
	return ""
}

// renewed returns what is missing until a component has another serving certificate than before.
func (w *world) renewed(component, before string) string {
	w.Helper()
	if now := w.certificateOf(component); now == "" || now == before {
		pipeline, _ := w.pipeline()
		return fmt.Sprintf("the certificate of %s is not renewed: %+v", component,
			apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionCertificatesReady))
	}
	return ""
}

// certificateOf returns a component's serving certificate, PEM; empty where there is none.
func (w *world) certificateOf(component string) string {
	w.Helper()
	secret := &corev1.Secret{}
	w.must(client.IgnoreNotFound(w.Client.Get(w.Ctx, harness.InOperatorNamespace(component+"-tls"), secret)))
	return string(secret.Data[corev1.TLSCertKey])
}

func deploymentOf(component string) *unstructured.Unstructured {
	return harness.Configuration("apps/v1", "Deployment", harness.OperatorNamespace, component, nil)
}
